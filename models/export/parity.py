"""Whether two detectors find the same plates: an exported file and the checkpoint it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from consumer.vision.detect.detector import Detector
from consumer.vision.detect.obb import Detections
from consumer.vision.image.decoder import Pixels
from models.evaluation.metrics import area, overlap

MAX_CORNER_DIFFERENCE_PX = 1.0
MAX_SCORE_DIFFERENCE = 0.01
MAX_OTHER_BOXES = 0.01
"""Share of plates on which the two may choose another of two boxes with the same score: which one
the network's last bit decides."""
_SAME_OVERLAP = 0.9
CONFIDENCE = 0.25
LOWEST_SCORE = CONFIDENCE - 2 * MAX_SCORE_DIFFERENCE
"""Both detectors must report scores down to it, or a plate near CONFIDENCE would lack its pair."""


class ParityError(Exception):
    """The exported file finds other plates than the checkpoint; nothing of it was kept."""


@dataclass(frozen=True)
class Parity:
    """The largest differences between two detectors, over ``plates`` plates of ``images`` images.

    ``pixels``: at a corner. ``score``: in the score.
    """

    images: int
    plates: int
    pixels: float
    score: float


def check_parity(ours: Detector, theirs: Detector, inputs: Iterable[Pixels]) -> Parity:
    """Return how much ``theirs`` differs from ``ours`` on detector inputs uint8 (h, w, 3).

    Raises:
        ParityError: a corner or a score differs by more than is allowed, a plate is missing, or
            there is no plate in any input.
    """
    images = 0
    differences: list[_Difference] = []
    for pixels in inputs:
        images += 1
        [mine], [other] = ours.detect(pixels[None]), theirs.detect(pixels[None])
        differences += [*_differences(mine, other), *_differences(other, mine)]
    if not differences:
        raise ParityError("no plate was found to compare; name a folder of photographs with plates")
    exact = _without_other_boxes(differences)
    corner, score = (max(of) for of in zip(*((it.pixels, it.score) for it in exact), strict=True))
    parity = Parity(images, len(differences), corner, score)
    if corner > MAX_CORNER_DIFFERENCE_PX or score > MAX_SCORE_DIFFERENCE:
        raise ParityError(
            f"corners differ by up to {corner:.2f} px and scores by up to {score:.3f};"
            f" allowed are {MAX_CORNER_DIFFERENCE_PX} px and {MAX_SCORE_DIFFERENCE}"
        )
    return parity


class _Difference(NamedTuple):
    """Between two boxes: the largest at a corner, in the score; ``overlap``: IoU."""

    pixels: float
    score: float
    overlap: float


def _without_other_boxes(differences: list[_Difference]) -> list[_Difference]:
    """Return the differences but for those of other boxes, if they are few enough."""
    kept = [
        it for it in differences
        if it.pixels <= MAX_CORNER_DIFFERENCE_PX or it.overlap < _SAME_OVERLAP
    ]  # fmt: skip
    few = len(differences) - len(kept) <= MAX_OTHER_BOXES * len(differences)
    return kept if few else differences


def _differences(found: Detections, others: Detections) -> Iterator[_Difference]:
    """Yield, for each certain plate, how much the nearest of ``others`` differs."""
    for quad, score in zip(found.quads, found.scores, strict=True):
        if score < CONFIDENCE:
            continue
        if not len(others.scores):
            yield _Difference(np.inf, 1.0, 0.0)
            continue
        distances = np.abs(others.quads - quad).max(axis=(1, 2))
        nearest = distances.argmin()
        other = others.quads[nearest]
        shared = overlap(quad, other)
        yield _Difference(
            float(distances[nearest]),
            float(abs(others.scores[nearest] - score)),
            shared / max(1e-6, area(quad) + area(other) - shared),
        )
