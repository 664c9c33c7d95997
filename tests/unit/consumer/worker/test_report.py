"""What a result reports of its covers: rounded, limited, and consistent about the review."""

import numpy as np
import pytest

from consumer.vision.detect.obb import Detections
from consumer.worker.report import CoverReport, report
from schemas.contract.tasks import MAX_REPORTED_COVERS, ImageResult

QUAD = np.array([[-0.04, 1.25], [10.06, 1.2], [10, 5], [0, 5]], np.float32)


def full_report(plates: Detections, review_confidence: float = 0.5) -> CoverReport:
    return report(plates, review_confidence=review_confidence, detections=True)


def found(*scores: float) -> Detections:
    quads = np.stack([QUAD + 100 * place for place in range(len(scores))] or [QUAD])[: len(scores)]
    return Detections(quads, np.array(scores, np.float32))


@pytest.mark.parametrize(
    ("scores", "threshold", "expected"),
    [
        ((), 1, False),
        ((0.9, 0.5), 0.5, False),
        ((0.9, 0.49), 0.5, True),
        ((0.4,), 0.3, False),
        ((0.01,), 0, False),
        ((0.999,), 1, True),
        ((0.4996,), 0.5, False),  # reported as 0.5
        ((0.4994,), 0.5, True),
    ],
)
def test_one_cover_below_the_threshold_asks_for_a_review(
    scores: tuple[float, ...], threshold: float, expected: bool
) -> None:
    reported = report(found(*scores), review_confidence=threshold, detections=False)
    assert reported.needs_review is expected
    assert (reported.plates, reported.detections) == (len(scores), None)


def test_numbers_are_rounded() -> None:
    reported = full_report(found(0.9, 0.123456))
    assert reported.scores == [0.9, 0.123]
    text = ImageResult(filename="a", url="/a", detections=reported.detections).model_dump_json()
    assert text.endswith(
        '"detections":[{"quad":[[0.0,1.2],[10.1,1.2],[10.0,5.0],[0.0,5.0]],"score":0.9},'
        '{"quad":[[100.0,101.2],[110.1,101.2],[110.0,105.0],[100.0,105.0]],"score":0.123}]}'
    )


def test_no_plate_is_a_list_too() -> None:
    reported = full_report(found())
    assert (reported.plates, reported.scores, reported.needs_review, reported.detections) == (
        0,
        [],
        False,
        [],
    )


def test_of_thousands_only_the_least_certain_are_reported() -> None:
    scores = np.linspace(0.99, 0.25, 5000)
    reported = full_report(found(*scores))
    assert reported.plates == 5000
    assert reported.needs_review
    assert reported.detections is not None
    assert len(reported.detections) == len(reported.scores) == MAX_REPORTED_COVERS
    assert reported.scores == [detection.score for detection in reported.detections]
    assert reported.scores == sorted(reported.scores, reverse=True)
    assert reported.scores[-1] == 0.25
    assert reported.scores[0] == round(scores[-MAX_REPORTED_COVERS], 3)
    x, _ = reported.detections[-1].quad[0]
    assert x == 100 * 4999, "each score keeps its quad"
    text = ImageResult(filename="a", url="/a", detections=reported.detections).model_dump_json()
    assert len(text) < 12_000


def test_the_review_considers_all_covers_in_any_order() -> None:
    scores = np.linspace(0.3, 0.9, 300)
    reported = full_report(found(*scores), 0.301)
    assert reported.needs_review
    assert reported.scores[-1] == 0.3


@pytest.mark.parametrize(
    ("uncovered_score", "threshold", "expected"),
    [(0.5, 0.5, True), (0.49, 0.5, False), (0.0, 0.5, False), (0.9, 0, False), (0.0, 0, False)],
)
def test_what_may_be_a_plate_and_is_not_covered_asks_for_a_review(
    uncovered_score: float, threshold: float, expected: bool
) -> None:
    reported = report(
        found(), review_confidence=threshold, detections=True, uncovered_score=uncovered_score
    )
    assert (reported.plates, reported.needs_review, reported.detections) == (0, expected, [])


@pytest.mark.parametrize(
    ("scores", "uncovered_score", "expected"),
    [
        ((0.9, 0.4, 0.45), 0.2, {"reason": "uncertain_cover", "score": 0.4}),
        ((0.4,), 0.9, {"reason": "uncertain_cover", "score": 0.4}),
        ((0.9,), 0.61239, {"reason": "not_covered", "score": 0.612}),
        ((0.9,), 0.2, None),
    ],
)
def test_the_doubt_says_what_to_look_for(
    scores: tuple[float, ...], uncovered_score: float, expected: dict[str, object] | None
) -> None:
    reported = report(
        found(*scores), review_confidence=0.5, detections=False, uncovered_score=uncovered_score
    )
    assert reported.doubt == expected
