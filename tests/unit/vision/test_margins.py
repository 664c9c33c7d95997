"""A cover holds the plate, with a margin of the same width on all sides."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from consumer.vision.cover.margins import cover_quads
from consumer.vision.detect.obb import upright_quads

Quads = NDArray[np.float32]


def rectangle(*box: float) -> Quads:
    """The corners (1, 4, 2) of centre x, y, width, height and angle in degrees."""
    return upright_quads(np.array([[*box[:4], np.radians(box[4])]], np.float32))


def in_perspective(rectangle: Quads, near: float, far: float) -> Quads:
    """The quad if its left side seems shorter and its right side is shifted."""
    quad = rectangle.copy()
    left, right = quad[0, 3] - quad[0, 0], quad[0, 2] - quad[0, 1]
    quad[0, 0] += near * left
    quad[0, 3] -= near * left
    quad[0, 1:3] += far * right
    return quad


QUADS = st.builds(
    in_perspective,
    st.builds(
        rectangle,
        st.floats(-50, 700), st.floats(-50, 700), st.floats(4, 300), st.floats(4, 300),
        st.floats(-45, 135),
    ),
    st.floats(0, 0.3), st.floats(-0.5, 0.5),
)  # fmt: skip


def distances(quad: Quads, outer: Quads) -> NDArray[np.float64]:
    """How far the sides of ``outer`` lie from the corners of ``quad``, the nearest corner each."""
    found = []
    for start in range(4):
        a, b = outer[start].astype(float), outer[(start + 1) % 4].astype(float)
        normal = np.array((b[1] - a[1], a[0] - b[0])) / np.linalg.norm(b - a)
        found.append(((a - quad) @ normal).min())
    return np.array(found)


@pytest.mark.parametrize("padding", [0.0, 0.1, 0.5])
def test_a_level_plate_grows_by_a_part_of_its_height(padding: float) -> None:
    quad = np.array([[[100, 100], [200, 100], [200, 140], [100, 140]]], np.float32)
    [grown] = cover_quads(quad, padding)
    assert np.allclose(grown[0], (100 - 40 * padding, 100 - 40 * padding), atol=1e-3)
    assert np.allclose(grown[2], (200 + 40 * padding, 140 + 40 * padding), atol=1e-3)


@given(QUADS, st.floats(0, 0.5))
def test_all_sides_move_outwards_by_the_margin(quads: Quads, padding: float) -> None:
    lengths = np.linalg.norm(np.roll(quads[0], -1, axis=0) - quads[0], axis=1)
    margin = padding * min(lengths[0] + lengths[2], lengths[1] + lengths[3]) / 2
    [grown] = cover_quads(quads, padding)
    assert np.allclose(distances(quads[0], grown), margin, atol=2e-3 * (1 + lengths.max()))
    assert cv2.isContourConvex(np.round(grown * 64).astype(np.int32))


@given(QUADS)
def test_the_stub_stays_upright_and_unmirrored(quads: Quads) -> None:
    [grown] = cover_quads(quads, 0.1)
    for corner in (1, 3):
        assert (grown[corner] - grown[0]) @ (quads[0][corner] - quads[0][0]) > 0
    across, down = grown[1] - grown[0], grown[3] - grown[0]
    assert across[0] * down[1] - across[1] * down[0] > 0


def test_a_sharp_corner_does_not_move_far_away() -> None:
    sharp = np.array([[[0, 0], [300, 18], [300, 22], [0, 40]]], np.float32)
    assert np.abs(cover_quads(sharp, 0.1) - sharp).max() < 40


def test_a_plate_of_no_size_is_still_a_quad() -> None:
    assert np.isfinite(cover_quads(np.full((1, 4, 2), 7.0, np.float32), 0.12)).all()


def test_no_plates_no_covers() -> None:
    assert cover_quads(np.zeros((0, 4, 2), np.float32), 0.1).shape == (0, 4, 2)
