"""Whether two detectors find the same plates: an exported file and the checkpoint it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from consumer.vision.detect.detector import Detector
from consumer.vision.detect.obb import Detections
from consumer.vision.image.decoder import Pixels

MAX_CORNER_DIFFERENCE_PX = 1.0
MAX_SCORE_DIFFERENCE = 0.01
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
    differences: list[tuple[float, float]] = []
    for pixels in inputs:
        images += 1
        [mine], [other] = ours.detect(pixels[None]), theirs.detect(pixels[None])
        differences += [*_differences(mine, other), *_differences(other, mine)]
    if not differences:
        raise ParityError("no plate was found to compare; name a folder of photographs with plates")
    corner, score = np.max(differences, axis=0).tolist()
    parity = Parity(images, len(differences), corner, score)
    if corner > MAX_CORNER_DIFFERENCE_PX or score > MAX_SCORE_DIFFERENCE:
        raise ParityError(
            f"corners differ by up to {corner:.2f} px and scores by up to {score:.3f};"
            f" allowed are {MAX_CORNER_DIFFERENCE_PX} px and {MAX_SCORE_DIFFERENCE}"
        )
    return parity


def _differences(found: Detections, others: Detections) -> Iterator[tuple[float, float]]:
    """Yield, for each certain plate, how much the nearest of ``others`` differs: px and score."""
    for quad, score in zip(found.quads, found.scores, strict=True):
        if score < CONFIDENCE:
            continue
        if not len(others.scores):
            yield np.inf, 1.0
            continue
        distances = np.abs(others.quads - quad).max(axis=(1, 2))
        nearest = distances.argmin()
        yield float(distances[nearest]), float(abs(others.scores[nearest] - score))
