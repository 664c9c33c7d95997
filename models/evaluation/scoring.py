"""From plates to scores: how much of each labelled plate is covered, and false covers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from consumer.vision.cover.margins import cover_quads
from models.dataset import LOOSE_SOURCES, Quads
from models.evaluation.metrics import (
    area,
    covered_share,
    overlap,
    plate_height,
    reading_tilt,
    side_ratio,
    tilt,
)
from models.evaluation.truth import Seen, measured_part

COVERED, FULLY, COVERED_LOOSE = 0.9, 0.98, 0.8
_HALF = 0.5
MOTORCYCLES = "_moto"
"""How the names of sources end whose plates are on motorcycles."""
_NEARLY_SQUARE = 2.2
SHAPES = ("one row", f"nearly square (ratio < {_NEARLY_SQUARE})", "motorcycle")


@dataclass(frozen=True)
class PlateScore:
    """How much of a plate is covered.

    ``quad``: what must be covered, in px. ``share``: of its area that is covered, by all covers
    together; ``covered``: whether this is enough. ``ratio``: area of the cover that hides most of
    it, within the image, over its own; nan if no cover hides half of it, and by upright labels.
    ``tilt``: 0..90 degrees; nan by upright labels. ``shape``: one of ``SHAPES``.
    """

    image: int
    quad: Quads
    source: str
    height_px: float
    tilt: float
    shape: str
    share: float
    covered: bool
    ratio: float

    @property
    def fully(self) -> bool:
        """Whether nearly everything is covered."""
        return self.share >= FULLY


@dataclass(frozen=True)
class Scores:
    """Scores of a set of images at one confidence and padding.

    ``exact``: by exact corners. ``labelled``: by the label files. ``negatives``: the sources of
    the images without plates, by their index. ``false_covers``: (image, quad), on these.
    """

    exact: list[PlateScore] = field(default_factory=list)
    labelled: list[PlateScore] = field(default_factory=list)
    negatives: dict[int, str] = field(default_factory=dict)
    false_covers: list[tuple[int, Quads]] = field(default_factory=list)


def score(seen: Sequence[Seen], confidence: float, padding: float) -> Scores:
    """Return the scores of the plates from ``confidence`` on, covered with a margin ``padding``."""
    scores = Scores()
    for image, one in enumerate(seen):
        covers = list(cover_quads(one.from_confidence(confidence).quads, padding))
        truth = one.truth
        for corners in truth.corners(one.width, one.height).values():
            scores.exact.append(score_exact(image, one, corners, covers))
        for label in truth.labels(one.width, one.height).values():
            scores.labelled.append(score_label(image, one, label, covers))
        if truth.is_negative:
            scores.negatives[image] = truth.item.source
            scores.false_covers.extend((image, cover) for cover in covers)
    return scores


def score_exact(image: int, one: Seen, corners: Quads, covers: Sequence[Quads]) -> PlateScore:
    """Return the score of a plate by its exact corners."""
    source = one.truth.item.source
    share = covered_share(corners, covers)
    return PlateScore(
        image,
        corners,
        source,
        plate_height(corners),
        reading_tilt(corners),
        shape(corners, source),
        share,
        share >= COVERED,
        area_ratio(corners, covers, one.width, one.height),
    )


def score_label(image: int, one: Seen, label: Quads, covers: Sequence[Quads]) -> PlateScore:
    """Return the score of a plate by its label.

    An upright label counts by its inner part, but size and shape are those of the whole label.
    """
    item = one.truth.item
    part = measured_part(label, oriented=item.oriented)
    share = covered_share(part, covers)
    loose = item.oriented and item.source in LOOSE_SOURCES
    return PlateScore(
        image,
        part,
        item.source,
        plate_height(label),
        tilt(label) if item.oriented else math.nan,
        shape(label, item.source),
        share,
        share >= (COVERED_LOOSE if loose else COVERED),
        area_ratio(label, covers, one.width, one.height) if item.oriented else math.nan,
    )


def shape(quad: Quads, source: str) -> str:
    """Return which of ``SHAPES`` a plate has, by its source or the ratio of its sides."""
    if source.endswith(MOTORCYCLES):
        return SHAPES[2]
    return SHAPES[side_ratio(quad) < _NEARLY_SQUARE]


def area_ratio(plate: Quads, covers: Sequence[Quads], width: int, height: int) -> float:
    """Return the area of the cover that hides most of a plate, within the image, over the plate's.

    nan if no cover hides half of the plate.
    """
    shared = [overlap(plate, cover) for cover in covers]
    own = area(plate)
    if not shared or own <= 0 or max(shared) < _HALF * own:
        return math.nan
    frame = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    return overlap(covers[int(np.argmax(shared))], frame) / own
