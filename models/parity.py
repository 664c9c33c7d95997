"""Whether two detectors find the same plates, to the pixel: a file and what it was written from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from consumer.vision.detector import Detector
from consumer.vision.obb import Detections

MOST_PIXELS_OFF = 1.0
MOST_SCORE_OFF = 0.01
CONFIDENCE = 0.25

Pixels = npt.NDArray[np.uint8]


class ParityError(Exception):
    """The exported file finds other plates than the checkpoint; nothing was kept of it."""


@dataclass(frozen=True)
class Parity:
    """How far two detectors are apart: over ``plates`` plates of ``images`` images, at most
    ``pixels`` px at a corner and ``score`` in the score."""

    images: int
    plates: int
    pixels: float
    score: float


def compare(ours: Detector, theirs: Detector, inputs: Iterable[Pixels]) -> Parity:
    """Return how far ``theirs`` is from ``ours`` on detector inputs uint8 (h, w, 3).

    Both must report scores down to CONFIDENCE - 2 * MOST_SCORE_OFF.
    Raises ParityError: a corner is off by more than MOST_PIXELS_OFF, a score by more than
    MOST_SCORE_OFF, or a plate is missing; or there is no plate in any of them.
    """
    gaps = [
        list(_gaps(ours.detect(pixels[None])[0], theirs.detect(pixels[None])[0], pixels.shape))
        for pixels in inputs
    ]
    plates = [gap for image in gaps for gap in image]
    if not plates:
        raise ParityError("no plate was found to compare; name a folder of photographs with plates")
    parity = Parity(
        len(gaps), len(plates), max(gap[0] for gap in plates), max(gap[1] for gap in plates)
    )
    if parity.pixels > MOST_PIXELS_OFF or parity.score > MOST_SCORE_OFF:
        raise ParityError(
            f"plates are up to {parity.pixels:.2f} px and scores up to {parity.score:.3f} off;"
            f" allowed are {MOST_PIXELS_OFF} px and {MOST_SCORE_OFF}"
        )
    return parity


def _gaps(
    ours: Detections, theirs: Detections, shape: Sequence[int]
) -> Iterator[tuple[float, float]]:
    """Yield, for each plate that either finds with some certainty, how far off the other's is."""
    for one, other in ((ours, theirs), (theirs, ours)):
        for quad, score in zip(one.quads, one.scores, strict=True):
            if score < CONFIDENCE:
                continue
            if not len(other.scores):
                yield float(max(shape)), 1.0
                continue
            away = np.abs(other.quads - quad).max(axis=(1, 2))
            yield float(away.min()), float(abs(other.scores[away.argmin()] - score))
