"""From scores to figures: shares with confidence intervals, by groups, as plain values for JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from models.evaluation.metrics import poisson, wilson
from models.evaluation.scoring import SHAPES, PlateScore, Scores
from models.evaluation.truth import NONE, UNSURE, Seen

Figures = dict[str, Any]
Range = tuple[float, float, str]

SIZES: tuple[Range, ...] = (
    (0, 12, "under 12 px"),
    (12, 24, "12-24 px"),
    (24, 48, "24-48 px"),
    (48, math.inf, "48 px and more"),
)
TILTS: tuple[Range, ...] = (
    (0, 10, "tilted by under 10°"),
    (10, 25, "10-25°"),
    (25, 45, "25-45°"),
    (45, 91, "45° and more"),
)
SMALLEST = 12.0


def summarize(seen: Sequence[Seen], scores: Scores) -> Figures:
    """Return all figures of a set of images."""
    return {
        "exact": {
            "left_out": {
                verdict: sum(one.truth.verdicts(verdict) for one in seen)
                for verdict in (UNSURE, NONE)
            },
            "groups": grouped(scores.exact),
        },
        "labelled": {"groups": grouped(scores.labelled)},
        "false_covers": false_covers(scores),
        "seconds_per_image": times(seen),
    }


def grouped(plates: Sequence[PlateScore]) -> list[Figures]:
    """Return the figures of all plates and of each group that has some, with the group's name."""
    return [
        {"group": name, **coverage(members)}
        for name, members in _groups(plates)
        if members or name == "all"
    ]


def _groups(plates: Sequence[PlateScore]) -> Iterator[tuple[str, list[PlateScore]]]:
    yield "all", list(plates)
    yield f"{SMALLEST:.0f} px and more", [p for p in plates if p.height_px >= SMALLEST]
    for ranges, measure in ((SIZES, _height), (TILTS, _tilt)):
        for low, high, name in ranges:
            yield name, [p for p in plates if low <= measure(p) < high]
    for shape in SHAPES:
        yield shape, [p for p in plates if p.shape == shape]
    sources = Counter(p.source for p in plates)
    for source in sorted(sources, key=lambda name: (-sources[name], name)):
        yield source, [p for p in plates if p.source == source]


def _height(plate: PlateScore) -> float:
    return plate.height_px


def _tilt(plate: PlateScore) -> float:
    return plate.tilt


def coverage(plates: Sequence[PlateScore]) -> Figures:
    """Return how many plates are covered and fully covered, and the median and p90 of the ratio."""
    ratios = [p.ratio for p in plates if not math.isnan(p.ratio)]
    return {
        "plates": len(plates),
        "covered": _share(plates, lambda p: p.covered),
        "fully": _share(plates, lambda p: p.fully),
        "ratio_median": round(float(np.median(ratios)), 3) if ratios else None,
        "ratio_p90": round(float(np.percentile(ratios, 90)), 3) if ratios else None,
    }


def _share(plates: Sequence[PlateScore], holds: Callable[[PlateScore], bool]) -> Figures:
    hits = sum(map(holds, plates))
    low, high = wilson(hits, len(plates))
    share = round(hits / len(plates), 4) if plates else None
    return {"count": hits, "share": share, "low": round(low, 4), "high": round(high, 4)}


def false_covers(scores: Scores) -> list[Figures]:
    """Return the false covers per 100 images without plates: of all, and by their source."""
    images = Counter(scores.negatives.values())
    covers = Counter(scores.negatives[image] for image, _ in scores.false_covers)
    rows = [("all", sum(images.values()), sum(covers.values()))]
    rows += [(source, images[source], covers[source]) for source in sorted(images)]
    return [
        {"group": name, "images": count, "false_covers": found, **_per_100(found, count)}
        for name, count, found in rows
    ]


def _per_100(found: int, images: int) -> Figures:
    if not images:
        return {"per_100": None, "low": None, "high": None}
    low, high = (100 * bound / images for bound in poisson(found))
    return {
        "per_100": round(100 * found / images, 2),
        "low": round(low, 2),
        "high": round(high, 2),
    }


def times(seen: Sequence[Seen]) -> Figures:
    """Return the seconds that an image takes, from its file to its plates."""
    seconds = [one.seconds for one in seen]
    return {
        "median": round(float(np.median(seconds)), 4),
        "mean": round(float(np.mean(seconds)), 4),
        "p90": round(float(np.percentile(seconds, 90)), 4),
    }
