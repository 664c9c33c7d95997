"""The second stage: which candidates are plates, and where exactly their corners are."""

import numpy as np
from numpy.typing import NDArray

from consumer.vision.corners.crop import crop_matrix, inverted, moved, network_input
from consumer.vision.corners.model import CornerResult
from consumer.vision.cover.margins import offset
from consumer.vision.detect.heads import Array
from consumer.vision.detect.obb import Detections
from consumer.vision.image.scaling import Pyramid
from consumer.vision.steps import NetworkInput, Steps

_AT_ONCE = 32
"""Crops that exist at the same time: their memory stays bounded whatever the detector finds."""
_CERTAIN_LOGIT = 12.0  # the detector's scores of 0 and 1 have no logit


def refine(image: Pyramid, found: Detections) -> Steps[Detections]:
    """Return the candidates with the second stage's corners and scores, in their order.

    ``image``: in whose pixels ``found`` lies. A score is the probability that it
    is a plate: the detector's odds, times the likelihood ratio that the crop has. A quad is the
    plate's outline, moved outwards by the expected error of its corners.
    """
    quads = np.zeros_like(found.quads)
    scores = np.zeros_like(found.scores)
    for start in range(0, len(quads), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        results: list[CornerResult] = yield [
            NetworkInput("corners", network_input(image, quad)) for quad in found.quads[some]
        ]
        quads[some] = [
            _outline(result, inverted(crop_matrix(candidate)), candidate)
            for result, candidate in zip(results, found.quads[some], strict=True)
        ]
        scores[some] = [
            _probability(score, result.log_ratio)
            for score, result in zip(found.scores[some].tolist(), results, strict=True)
        ]
    return Detections(quads, scores)


def _probability(score: float, log_ratio: float) -> float:
    logit = np.log(max(score, 1e-9)) - np.log(max(1 - score, 1e-9))
    return float(1 / (1 + np.exp(-(np.clip(logit, -_CERTAIN_LOGIT, _CERTAIN_LOGIT) + log_ratio))))


def _outline(result: CornerResult, to_image: NDArray[np.float64], candidate: Array) -> Array:
    """Return the plate's outline in image pixels; the candidate if that is no convex quad."""
    quad = moved(result.corners, to_image)
    sides = np.roll(quad, -1, axis=0) - quad
    following = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
    if (turns <= 0).any():
        return candidate
    pixels_of_image = float(np.hypot(to_image[0, 0], to_image[0, 1]))
    return offset(quad, result.error * pixels_of_image)
