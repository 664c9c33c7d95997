"""A cover holds the plate, more where the detector is unsure, upright where it is tilted."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from consumer.vision.cover.margins import MAX_FREE, UNCERTAINTY, cover_quads, padded, upright_grown
from consumer.vision.detect.obb import Detections, upright_quads
from consumer.vision.views.overlap import shared_part

Quads = NDArray[np.float32]


def rectangle(*box: float) -> Quads:
    """The corners (1, 4, 2) of centre x, y, width, height and angle in degrees."""
    boxes = np.array([[*box[:4], np.radians(box[4])]], np.float32)
    return upright_quads(boxes, np.zeros((1, 4), np.float32))[0]


def exact(quads: Quads) -> Detections:
    return Detections.exact(quads, np.ones(len(quads), np.float32))


def holds(outer: Quads, inner: Quads) -> bool:
    """Whether no corner of ``inner`` lies outside; of two that are nearly the same, too."""
    gaps = [cv2.pointPolygonTest(outer, (float(x), float(y)), measureDist=True) for x, y in inner]
    return min(gaps) > -1e-3 * (1 + np.abs(inner).max())


def bounds(quad: Quads) -> Quads:
    low, high = quad.min(axis=0), quad.max(axis=0)
    return np.array([low, (high[0], low[1]), high, (low[0], high[1])], np.float32)


RECTANGLES = st.builds(
    rectangle,
    st.floats(-50, 700), st.floats(-50, 700), st.floats(2, 300), st.floats(2, 300),
    st.floats(-45, 135),
)  # fmt: skip


@pytest.mark.parametrize("padding", [0.0, 0.1, 0.5])
def test_a_level_plate_grows_by_a_part_of_its_height(padding: float) -> None:
    quad = np.array([[[100, 100], [200, 100], [200, 140], [100, 140]]], np.float32)
    [grown] = cover_quads(exact(quad), padding)
    assert np.allclose(grown[0], (100 - 40 * padding, 100 - 40 * padding), atol=1e-3)
    assert np.allclose(grown[2], (200 + 40 * padding, 140 + 40 * padding), atol=1e-3)


def test_a_cover_reaches_further_where_the_detector_is_unsure() -> None:
    boxes = np.array([[100, 100, 80, 20, 0]], np.float32)
    quads, spread = upright_quads(boxes, np.array([[0, 0, 12, 4]], np.float32))
    [grown] = cover_quads(Detections(quads, np.ones(1, np.float32), spread), 0.0)
    assert np.allclose(grown[0], (60, 90), atol=1e-3)
    assert np.allclose(grown[2], (140 + 12 * UNCERTAINTY, 110 + 4 * UNCERTAINTY), atol=1e-3)


@given(RECTANGLES, st.floats(0, 1))
def test_a_cover_holds_what_it_is_for_and_is_convex(quads: Quads, padding: float) -> None:
    [grown] = cover_quads(exact(quads), padding)
    assert holds(grown, quads[0])
    assert cv2.isContourConvex(np.round(grown * 64).astype(np.int32))
    assert shared_part(grown, bounds(padded(quads, padding)[0])) > 0.9


@given(RECTANGLES, st.floats(0, 1))
def test_padding_keeps_centre_and_angle(quads: Quads, padding: float) -> None:
    grown = padded(quads, padding).astype(np.float64)[0]
    quad = quads[0].astype(np.float64)
    assert np.allclose(grown.mean(axis=0), quad.mean(axis=0), atol=1e-3)
    for a, b in ((0, 1), (0, 3)):
        before, after = quad[b] - quad[a], grown[b] - grown[a]
        assert np.linalg.norm(after) >= np.linalg.norm(before) - 1e-3
        turn = before[0] * after[1] - before[1] * after[0]
        assert abs(turn) <= 1e-3 * (1 + np.linalg.norm(after)) ** 2
        assert before @ after >= 0


@pytest.mark.parametrize("degrees", [-87, -75, -66, -24, -15, -8, -3, 3, 8, 15, 24, 66, 82])
def test_a_tilted_plate_is_covered_up_to_its_upright_bounds(degrees: float) -> None:
    quads = rectangle(200, 200, 200, 44, degrees)
    [grown] = upright_grown(quads)
    assert shared_part(bounds(quads[0]), grown) >= 1 - MAX_FREE - 0.01
    assert cv2.contourArea(grown) <= 1.01 * cv2.contourArea(bounds(quads[0]))


@pytest.mark.parametrize("degrees", [-90, -45, 0, 45, 90])
def test_a_level_upright_or_steep_plate_stays_a_rectangle(degrees: float) -> None:
    quads = rectangle(200, 200, 200, 44, degrees)
    assert np.allclose(upright_grown(quads), quads, atol=1e-3)


def test_the_growth_does_not_jump_with_the_angle() -> None:
    """A hair's breadth of angle, as between two batches, moves no corner by more than that."""
    covers = [
        upright_grown(rectangle(200, 200, 200, 44, angle / 10))[0] for angle in range(-890, 890)
    ]
    steps = np.linalg.norm(np.diff(np.stack(covers), axis=0), axis=2).max(axis=1)
    assert steps.max() < 1.5


@given(RECTANGLES)
def test_the_stub_stays_upright_and_unmirrored(quads: Quads) -> None:
    [grown] = cover_quads(exact(quads), 0.1)
    for corner in (1, 3):
        assert (grown[corner] - grown[0]) @ (quads[0][corner] - quads[0][0]) > 0
    across, down = grown[1] - grown[0], grown[3] - grown[0]
    assert across[0] * down[1] - across[1] * down[0] > 0


def test_a_plate_of_no_size_is_still_a_quad() -> None:
    assert np.isfinite(cover_quads(exact(np.full((1, 4, 2), 7.0, np.float32)), 0.12)).all()


def test_no_plates_no_covers() -> None:
    assert cover_quads(exact(np.zeros((0, 4, 2), np.float32)), 0.1).shape == (0, 4, 2)
