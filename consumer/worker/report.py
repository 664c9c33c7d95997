"""What a result tells of its covers: their scores, whether a person should look, and where.

A task keeps this in Redis for as long as it lives, so single covers are told up to a limit; of an
image with more, the least certain, which are what a review is about.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from consumer.vision.heads import Array
from consumer.vision.obb import Detections
from schemas.contract.tasks import MAX_REPORTED_COVERS, Detection

_SCORE_DECIMALS = 3
_CORNER_DECIMALS = 1


@dataclass(frozen=True, slots=True)
class Reporting:
    """What is told.

    `review_confidence`: the score below which a cover asks for a review, and from which on what is
    not covered and may be a plate does.
    """

    review_confidence: float
    detections: bool


@dataclass(frozen=True, slots=True)
class CoverReport:
    """The covers of one image.

    `plates` is their number, `scores` those of the least certain, best first; `detections` has
    their quads too, None if that is not wanted.
    """

    plates: int
    scores: list[float]
    needs_review: bool
    detections: list[Detection] | None


def report(found: Detections, reporting: Reporting, unsettled: float = 0.0) -> CoverReport:
    """Tell of what was found; its quads are in pixels of the result, without padding.

    ``unsettled``: score of what may be a plate and is not covered.
    """
    # Rounded before it is compared: who reads the score comes to the same answer.
    scores = _rounded(found.scores, _SCORE_DECIMALS)
    threshold = reporting.review_confidence
    least = np.argsort(-scores, kind="stable")[-MAX_REPORTED_COVERS:]
    return CoverReport(
        plates=len(scores),
        scores=scores[least].tolist(),
        needs_review=bool((scores < threshold).any() or 0 < threshold <= unsettled),
        detections=_detections(found.quads[least], scores[least]) if reporting.detections else None,
    )


def _detections(quads: Array, scores: NDArray[np.float64]) -> list[Detection]:
    corners = _rounded(quads, _CORNER_DECIMALS)
    return [
        Detection(quad=tuple((x, y) for x, y in quad), score=score)
        for quad, score in zip(corners.tolist(), scores.tolist(), strict=True)
    ]


def _rounded(values: Array, decimals: int) -> NDArray[np.float64]:
    # In double precision, or JSON would have all the digits of 0.9 as a float32; and no minus zero.
    return np.asarray(np.round(values.astype(np.float64), decimals) + 0.0, np.float64)
