"""From the raw output of a head to boxes. Agreement with ultralytics: see test_detector."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import ModelError
from consumer.vision.detect.backends.exported import Label
from consumer.vision.detect.heads import Head

OBB = Head("OBB", 2, 16, (8, 16, 32))
PLAIN = Head("Detect", 1, 1, (8,))


def test_a_label_with_a_head_is_read_back_from_json() -> None:
    label = Label(OBB, {0: "plate", 1: "car"}, 640, "digest")
    assert Label.from_json(label.as_json(), Path("m.xml")) == label


@pytest.mark.parametrize("text", ["{}", "[1]", "no json", '{"format": "other/1", "head": {}}'])
def test_another_text_is_no_label(text: str) -> None:
    with pytest.raises(ModelError, match=r"^m\.xml: not written by `plate-detect export`: .+$"):
        Label.from_json(text, Path("m.xml"))


def test_size_of_the_output() -> None:
    assert (OBB.rows, OBB.oriented, OBB.anchors(64, 96)) == (67, True, 96 + 24 + 6)
    assert (PLAIN.rows, PLAIN.oriented) == (5, False)


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_an_anchor_lies_where_its_place_in_the_row_says(
    rows: int, columns: int, data: st.DataObject
) -> None:
    height, width = rows * 32, columns * 32
    level = data.draw(st.integers(0, 2))
    stride = OBB.strides[level]
    row = data.draw(st.integers(0, height // stride - 1))
    column = data.draw(st.integers(0, width // stride - 1))
    before = sum((height // s) * (width // s) for s in OBB.strides[:level])
    raw = np.zeros((OBB.rows, OBB.anchors(height, width)), np.float32)
    raw[64:66] = -50
    raw[65, before + row * (width // stride) + column] = 3.0
    boxes, scores = OBB.decode(raw, height, width, 0.5)
    # Equal weights of 0..15 strides on every side: the anchor's middle, and 15 strides wide.
    expected = [(column + 0.5) * stride, (row + 0.5) * stride, 15 * stride, 15 * stride, 0]
    assert np.allclose(boxes, [expected], atol=1e-3)
    assert scores.tolist() == pytest.approx([1 / (1 + np.exp(-3))])


def test_an_angle_turns_the_offset_of_the_centre() -> None:
    head = Head("OBB26", 1, 1, (8,))
    raw = np.array([[1], [2], [3], [2], [5], [np.pi / 2]], np.float32)  # left top right bottom
    [box], _ = head.decode(raw, 8, 8, 0.5)
    assert np.allclose(box, [4, 4 + 8, 32, 32, np.pi / 2], atol=1e-4)


def test_a_score_equal_to_the_confidence_counts() -> None:
    raw = np.array([[1], [1], [1], [1], [0]], np.float32)
    assert len(PLAIN.decode(raw, 8, 8, 0.5)[1]) == 1
    assert len(PLAIN.decode(raw, 8, 8, 0.501)[1]) == 0


def test_unwanted_classes_count_for_nothing() -> None:
    head = Head("Detect", 2, 1, (8,))
    raw = np.array([[1], [1], [1], [1], [4], [-4]], np.float32)
    assert len(head.decode(raw, 8, 8, 0.5)[1]) == 1
    assert len(head.decode(raw, 8, 8, 0.5, (0,))[1]) == 0
    assert len(head.decode(raw, 8, 8, 0.5, (0, 1))[1]) == 0


def test_extreme_numbers_make_no_noise() -> None:
    raw = np.full((OBB.rows, OBB.anchors(32, 32)), -1e4, np.float32)
    raw[:64, 0] = 1e4
    raw[64, 0] = 1e4
    boxes, scores = OBB.decode(raw, 32, 32, 0.5)
    assert scores.tolist() == [1.0]
    assert np.isfinite(boxes).all()


def test_a_side_is_the_mean_of_its_distribution() -> None:
    head = Head("OBB", 1, 4, (8,))
    raw = np.full((head.rows, 1), -50, np.float32)
    raw[-2], raw[-1] = 5, 0  # score, angle
    for side, distances in enumerate(((3,), (3,), (3,), (1, 3))):
        for distance in distances:
            raw[4 * side + distance] = 50
    [box], _ = head.decode(raw, 8, 8, 0.5)
    assert np.allclose(box, [4, 4 + 8 * (2 - 3) / 2, 48, 40, 0], atol=1e-3)
