"""What a result reports of its covers: scores, quads, and whether a person should review it.

A task keeps this in Redis for its whole life, so only a limited number of covers is reported: of an
image with more, those with the lowest scores, which a review is about.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.heads import Array
from consumer.vision.detect.obb import Detections
from schemas.contract.tasks import MAX_REPORTED_COVERS, Detection

_SCORE_DECIMALS = 3
_CORNER_DECIMALS = 1


@dataclass(frozen=True, slots=True)
class CoverReport:
    """The covers of one image.

    `plates` is their number, `scores` the lowest of them, best first; `detections` has their quads
    too, None if that is not wanted. `doubt`: reason and score of a `ReviewItem`, None without one.
    """

    plates: int
    scores: list[float]
    doubt: dict[str, str | float] | None
    detections: list[Detection] | None

    @property
    def needs_review(self) -> bool:
        """Whether a person should look at the image."""
        return self.doubt is not None


def report(
    found: Detections,
    *,
    review_confidence: float,
    detections: bool,
    uncovered_score: float = 0.0,
) -> CoverReport:
    """Report what was found; quads are in pixels of the result, without padding.

    Args:
        review_confidence: a cover with a lower score needs a review, and so does an uncovered find
            with this score or a higher one; 0: none.
        detections: whether quads are reported.
        uncovered_score: the highest score of what may be a plate and is not covered.
    """
    # Rounded before they are compared, so that a reader of the scores comes to the same result.
    scores = _rounded(found.scores, _SCORE_DECIMALS)
    least = np.argsort(-scores, kind="stable")[-MAX_REPORTED_COVERS:]
    return CoverReport(
        plates=len(scores),
        scores=scores[least].tolist(),
        doubt=_doubt(scores, uncovered_score, review_confidence),
        detections=_detections(found.quads[least], scores[least]) if detections else None,
    )


def _doubt(
    scores: NDArray[np.float64], uncovered_score: float, review_confidence: float
) -> dict[str, str | float] | None:
    lowest = float(scores.min(initial=1.0))
    if lowest < review_confidence:
        return {"reason": "uncertain_cover", "score": lowest}
    if 0 < review_confidence <= uncovered_score:
        return {"reason": "not_covered", "score": round(uncovered_score, _SCORE_DECIMALS)}
    return None


def _detections(quads: Array, scores: NDArray[np.float64]) -> list[Detection]:
    corners = _rounded(quads, _CORNER_DECIMALS)
    return [
        Detection(quad=tuple((x, y) for x, y in quad), score=score)
        for quad, score in zip(corners.tolist(), scores.tolist(), strict=True)
    ]


def _rounded(values: Array, decimals: int) -> NDArray[np.float64]:
    # In double precision, or JSON would have all the digits of 0.9 as a float32; and no minus zero.
    return np.asarray(np.round(values.astype(np.float64), decimals) + 0.0, np.float64)
