"""From detections to scores: by plate, by groups of plates, with confidence intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from consumer.vision.cover.margins import cover_quads
from consumer.vision.detect.obb import Detections
from models.dataset import Item, Quads
from models.evaluation.metrics import (
    angle_error,
    area,
    bounds,
    covered_share,
    long_angle,
    overlap,
    plate_height,
    wilson,
)

COVERED, COVERED_LOOSE = 0.9, 0.8
SIZES = ((0.0, 12.0, "< 12 px"), (12.0, 24.0, "12-24 px"), (24.0, math.inf, ">= 24 px"))
ANGLES = ((0.0, 3.0, "0-3°"), (3.0, 10.0, "3-10°"), (10.0, 25.0, "10-25°"), (25.0, 91.0, "> 25°"))


@dataclass(frozen=True)
class DetectedImage:
    """Detections of one image, in its pixels."""

    item: Item
    width: int
    height: int
    detections: Detections
    seconds: float


@dataclass(frozen=True)
class PlateScore:
    """How much of a labelled plate is covered.

    ``share``: of its area that is covered. ``ratio``: area of the best cover over the plate's.
    ``angle_error``: of the best cover, in degrees. Both are nan without a cover, the latter also
    for an upright label. ``hidden``: whether it is covered if an upright label is compared with the
    upright bounds of the covers; around a tilted plate the corners of such a label hold no plate.
    """

    image: int
    quad: Quads
    source: str
    oriented: bool
    height_px: float
    tilt: float
    share: float
    ratio: float
    angle_error: float
    covered: bool
    hidden: bool


@dataclass(frozen=True)
class Scores:
    """Scores of a set of images at one confidence and padding.

    ``false_covers``: (image, quad) on images without plates. ``negatives``: number of these images.
    """

    plates: list[PlateScore]
    false_covers: list[tuple[int, Quads]]
    negatives: int


def inside_image(quads: Quads, width: int, height: int) -> Quads:
    """Return quads (N, 4, 2) with their corners moved onto the image."""
    return np.clip(quads, 0, np.array([width, height], np.float32)).astype(np.float32)


def score_plate(
    image: int, found: DetectedImage, label: Quads, raw: Quads, covers: Quads, needed: float
) -> PlateScore:
    """Return the score of a labelled plate under ``covers``, which were made of ``raw`` quads.

    ``needed``: share of its area that must be covered.
    """
    share = covered_share(label, list(covers))
    shared = [overlap(label, cover) for cover in covers]
    best = int(np.argmax(shared)) if shared and max(shared) > 0 else -1
    ratio = error = math.nan
    if share >= needed and best >= 0:
        ratio = area(inside_image(covers[best : best + 1], found.width, found.height)[0])
        ratio /= max(1.0, area(label))
        error = angle_error(label, raw[best]) if found.item.oriented else math.nan
    hidden = share >= needed
    if not hidden and not found.item.oriented:
        hidden = covered_share(label, [bounds(cover) for cover in covers]) >= needed
    return PlateScore(
        image,
        label,
        found.item.source,
        found.item.oriented,
        plate_height(label),
        abs(long_angle(label)),
        share,
        ratio,
        error,
        share >= needed,
        hidden,
    )


def score(
    found: Sequence[DetectedImage], confidence: float, padding: float, loose: Sequence[str]
) -> Scores:
    """Return the scores of detections from ``confidence`` on, covered with a margin of ``padding``.

    ``loose``: sources whose labels are larger than the plates; 80 % of the area must be covered.
    """
    plates, false_covers, negatives = [], [], 0
    for image, one in enumerate(found):
        certain = one.detections[one.detections.scores >= confidence]
        raw, covers = certain.quads, cover_quads(certain, padding)
        size = np.array([one.width, one.height], np.float32)
        needed = COVERED_LOOSE if one.item.source in loose else COVERED
        plates += [
            score_plate(image, one, label, raw, covers, needed) for label in one.item.quads * size
        ]
        if not len(one.item.quads):
            negatives += 1
            false_covers += [(image, quad) for quad in covers]
    return Scores(plates, false_covers, negatives)


def recall(plates: Sequence[PlateScore]) -> dict[str, Any]:
    """Return number, covered number, share and Wilson interval of plates.

    ``hidden``: the share when upright labels are compared with the covers' upright bounds.
    """
    hits, hidden = sum(p.covered for p in plates), sum(p.hidden for p in plates)
    low, high = wilson(hits, len(plates))
    return {
        "plates": len(plates),
        "covered": hits,
        "recall": round(hits / len(plates), 4) if plates else None,
        "low": round(low, 4),
        "high": round(high, 4),
        "hidden": round(hidden / len(plates), 4) if plates else None,
    }


def grouped(
    plates: Sequence[PlateScore],
    key: Callable[[PlateScore], float],
    bins: Sequence[tuple[float, float, str]],
) -> dict[str, Any]:
    """Return the recall of plates by ranges [low, high) of a measure."""
    return {name: recall([p for p in plates if low <= key(p) < high]) for low, high, name in bins}


def _median(values: Sequence[float]) -> float | None:
    known = [v for v in values if not math.isnan(v)]
    return round(float(np.median(known)), 3) if known else None


def summarize(result: Scores) -> dict[str, Any]:
    """Return all measures as plain values, ready for JSON."""
    plates = result.plates
    oriented = [p for p in plates if p.oriented]
    per_100 = 100 * len(result.false_covers) / result.negatives if result.negatives else None
    return {
        "all": recall(plates),
        "by_size": grouped(plates, lambda p: p.height_px, SIZES),
        "by_angle": grouped(oriented, lambda p: p.tilt, ANGLES),
        "by_source": {
            s: recall([p for p in plates if p.source == s])
            for s in sorted({p.source for p in plates})
        },
        "negatives": result.negatives,
        "false_covers": len(result.false_covers),
        "false_covers_per_100": None if per_100 is None else round(per_100, 2),
        "area_ratio_oriented": _median([p.ratio for p in oriented]),
        "area_ratio_upright": _median([p.ratio for p in plates if not p.oriented]),
        "angle_error_oriented": _median([p.angle_error for p in oriented]),
        "angle_error_tilted": _median([p.angle_error for p in oriented if p.tilt >= 3]),
    }
