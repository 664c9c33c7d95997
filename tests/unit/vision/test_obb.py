"""From raw numbers to plates: decoding, NMS, and which corner is the top left."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from consumer.vision.detect.heads import Decoded
from consumer.vision.detect.no_telemetry import import_tasks
from consumer.vision.detect.obb import (
    detections,
    prob_iou,
    rotated_nms,
    upright_quads,
)

import_tasks()
from ultralytics.utils.metrics import batch_probiou  # noqa: E402 - after import_tasks

Boxes = NDArray[np.float32]
ANGLES = st.floats(-np.pi / 4, 3 * np.pi / 4)
BOXES = st.lists(
    st.tuples(
        st.floats(0, 640), st.floats(0, 640), st.floats(4, 300), st.floats(4, 300), ANGLES
    ),
    max_size=25,
)  # fmt: skip


def boxes_of(rows: Sequence[tuple[float, ...]]) -> Boxes:
    return np.array(rows, np.float32).reshape(-1, 5)


@given(BOXES.filter(bool))
def test_probabilistic_iou_is_the_one_of_ultralytics(rows: list[tuple[float, ...]]) -> None:
    boxes = boxes_of(rows)
    theirs = batch_probiou(boxes[:1].astype(np.float64), boxes.astype(np.float64)).numpy()[0]
    assert np.allclose(prob_iou(boxes[0], boxes), theirs, atol=1e-3)


@given(BOXES, st.floats(0.05, 0.9))
def test_nms_keeps_a_set_that_stands_for_all(rows: list[tuple[float, ...]], iou: float) -> None:
    boxes = boxes_of(rows)
    scores = np.random.default_rng(len(rows)).permutation(len(rows)).astype(np.float32)
    kept = rotated_nms(boxes, scores, iou)
    assert (np.diff(scores[kept]) <= 0).all()
    for position, index in enumerate(kept):
        assert (prob_iou(boxes[index], boxes[kept[position + 1 :]]) <= iou).all()
    for index in set(range(len(boxes))) - set(kept.tolist()):
        better = kept[scores[kept] > scores[index]]
        assert any(prob_iou(boxes[other], boxes[[index]])[0] > iou for other in better)


def test_nms_has_no_maximum() -> None:
    grid = [(20.0 * x, 20.0 * y, 12.0, 4.0, 0.0) for x in range(40) for y in range(40)]
    boxes = boxes_of(grid)
    kept = rotated_nms(boxes, np.full(len(boxes), 0.5, np.float32), 0.5)
    assert kept.tolist() == list(range(1600))
    halves = rotated_nms(boxes, np.tile(np.array([0.5, 0.6], np.float32), 800), 0.5)
    assert halves.tolist() == [*range(1, 1600, 2), *range(0, 1600, 2)]


def test_equal_scores_keep_their_order() -> None:
    boxes = boxes_of([(50, 50, 40, 10, 0), (51, 50, 40, 10, 0), (300, 50, 40, 10, 0)])
    assert rotated_nms(boxes, np.full(3, 0.5, np.float32), 0.5).tolist() == [0, 2]


def test_nms_sees_the_angle() -> None:
    crossed = boxes_of([(50, 50, 100, 10, 0), (50, 50, 100, 10, np.pi / 2)])
    assert len(rotated_nms(crossed, np.array([0.9, 0.8], np.float32), 0.5)) == 2


@given(BOXES)
def test_quads_are_the_boxes_corners(rows: list[tuple[float, ...]]) -> None:
    boxes = boxes_of(rows)
    for box, quad in zip(boxes, upright_quads(boxes), strict=True):
        x, y, width, height, angle = (float(value) for value in box)
        expected = cv2.boxPoints(((x, y), (width, height), np.degrees(angle)))
        distances = np.linalg.norm(quad[:, None] - expected[None], axis=2)
        assert distances.min(axis=1).max() < 0.05
        assert distances.min(axis=0).max() < 0.05


@given(BOXES)
def test_quads_are_upright_and_unmirrored(rows: list[tuple[float, ...]]) -> None:
    boxes = boxes_of(rows)
    for quad in upright_quads(boxes).astype(np.float64):
        across, down = quad[1] - quad[0], quad[3] - quad[0]
        assert across[0] * down[1] - across[1] * down[0] > 0
        length, depth = np.linalg.norm(across), np.linalg.norm(down)
        assert length >= depth / 1.75
        assert across[0] >= -1.1e-3 * length
        if across[0] < 1e-3 * length:
            assert across[1] < 0


@pytest.mark.parametrize(
    ("width", "height", "degrees", "reading"),
    [
        (100, 30, 0, 0),
        (100, 30, 30, 30),
        (100, 30, -30, -30),
        (30, 100, 0, -90),
        (100, 30, 90, -90),
        (30, 100, 90, 0),
        (100, 30, 120, -60),
        (30, 100, 60, -30),
        (50, 50, 0, 0),
        (50, 50, 80, -10),
        (50, 45, 40, 40),
        (45, 50, 60, -30),
    ],
)
def test_reading_direction(width: float, height: float, degrees: float, reading: float) -> None:
    boxes = boxes_of([(200, 200, width, height, np.radians(degrees))])
    quad = upright_quads(boxes)[0]
    across = quad[1] - quad[0]
    assert np.degrees(np.arctan2(across[1], across[0])) == pytest.approx(reading, abs=0.1)


def test_detections_are_sorted_and_typed() -> None:
    boxes = boxes_of([(50, 50, 60, 20, 0), (300, 50, 60, 20, 0), (52, 50, 60, 20, 0)])
    found = detections(Decoded(boxes, np.array([0.4, 0.6, 0.5], np.float32)), iou=0.5)
    assert found.scores.tolist() == pytest.approx([0.6, 0.5])
    assert found.quads.shape == (2, 4, 2)
    assert found.quads.dtype == found.scores.dtype == np.float32
    assert np.allclose(found.quads[0], [[270, 40], [330, 40], [330, 60], [270, 60]])


def test_nothing_found() -> None:
    found = detections(Decoded(boxes_of([]), np.zeros(0, np.float32)), iou=0.5)
    assert found.quads.shape == (0, 4, 2)
    assert found.scores.shape == (0,)
