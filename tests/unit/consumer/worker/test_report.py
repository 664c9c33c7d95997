"""What a result tells of its covers: rounded, bounded, and of one mind about the review."""

import numpy as np
import pytest

from consumer.vision.obb import Detections
from consumer.worker.report import Reporting, report
from schemas.contract.tasks import MAX_REPORTED_COVERS, ImageResult

QUAD = np.array([[-0.04, 1.25], [10.06, 1.2], [10, 5], [0, 5]], np.float32)
ALL = Reporting(review_confidence=0.5, detections=True)


def found(*scores: float) -> Detections:
    quads = np.stack([QUAD + 100 * place for place in range(len(scores))] or [QUAD])[: len(scores)]
    return Detections.exact(quads, np.array(scores, np.float32))


@pytest.mark.parametrize(
    ("scores", "threshold", "expected"),
    [
        ((), 1, False),
        ((0.9, 0.5), 0.5, False),
        ((0.9, 0.49), 0.5, True),
        ((0.4,), 0.3, False),
        ((0.01,), 0, False),
        ((0.999,), 1, True),
        ((0.4996,), 0.5, False),  # told as 0.5
        ((0.4994,), 0.5, True),
    ],
)
def test_one_cover_below_the_threshold_asks_for_a_review(
    scores: tuple[float, ...], threshold: float, expected: bool
) -> None:
    told = report(found(*scores), Reporting(threshold, detections=False))
    assert told.needs_review is expected
    assert (told.plates, told.detections) == (len(scores), None)


def test_figures_are_short() -> None:
    told = report(found(0.9, 0.123456), ALL)
    assert told.scores == [0.9, 0.123]
    text = ImageResult(filename="a", url="/a", detections=told.detections).model_dump_json()
    assert text.endswith(
        '"detections":[{"quad":[[0.0,1.2],[10.1,1.2],[10.0,5.0],[0.0,5.0]],"score":0.9},'
        '{"quad":[[100.0,101.2],[110.1,101.2],[110.0,105.0],[100.0,105.0]],"score":0.123}]}'
    )


def test_no_plate_is_a_list_too() -> None:
    told = report(found(), ALL)
    assert (told.plates, told.scores, told.needs_review, told.detections) == (0, [], False, [])


def test_of_thousands_only_the_least_certain_are_told() -> None:
    scores = np.linspace(0.99, 0.25, 5000)
    told = report(found(*scores), ALL)
    assert told.plates == 5000
    assert told.needs_review
    assert told.detections is not None
    assert len(told.detections) == len(told.scores) == MAX_REPORTED_COVERS
    assert told.scores == [detection.score for detection in told.detections]
    assert told.scores == sorted(told.scores, reverse=True)
    assert told.scores[-1] == 0.25
    assert told.scores[0] == round(scores[-MAX_REPORTED_COVERS], 3)
    x, _ = told.detections[-1].quad[0]
    assert x == 100 * 4999, "each score keeps its quad"
    text = ImageResult(filename="a", url="/a", detections=told.detections).model_dump_json()
    assert len(text) < 12_000


def test_the_review_looks_at_all_covers_and_any_order() -> None:
    scores = np.linspace(0.3, 0.9, 300)
    told = report(found(*scores), Reporting(0.301, detections=True))
    assert told.needs_review
    assert told.scores[-1] == 0.3


@pytest.mark.parametrize(
    ("unsettled", "threshold", "expected"),
    [(0.5, 0.5, True), (0.49, 0.5, False), (0.0, 0.5, False), (0.9, 0, False), (0.0, 0, False)],
)
def test_what_may_be_a_plate_and_is_not_covered_asks_for_a_review(
    unsettled: float, threshold: float, expected: bool
) -> None:
    told = report(found(), Reporting(threshold, detections=True), unsettled)
    assert (told.plates, told.needs_review, told.detections) == (0, expected, [])
