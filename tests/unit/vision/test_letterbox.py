"""The detector's view: as small as possible, and points find their way back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from consumer.vision.detect.obb import Detections
from consumer.vision.image.scaling import Pyramid
from consumer.vision.views.letterbox import letterbox, letterbox_shape
from consumer.vision.views.tiling import views
from consumer.vision.views.view import View, in_image
from tests.unit.vision.pictures import smooth

SIDES = st.integers(1, 3000)
SIZES = st.sampled_from([320, 640, 960])


def image_quads(quads: NDArray[np.float32], view: View) -> NDArray[np.float32]:
    """Map corners in a view's pixels to corners in image pixels."""
    return in_image(Detections(quads, np.zeros(len(quads), np.float32)), view).quads


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (1080, 1920, (384, 640)),
        (1920, 1080, (640, 384)),
        (3000, 4000, (480, 640)),
        (640, 640, (640, 640)),
        (10, 10, (640, 640)),
        (90, 160, (384, 640)),
        (1, 16383, (64, 640)),
        (16383, 1, (640, 64)),
    ],
)
def test_shape(height: int, width: int, expected: tuple[int, int]) -> None:
    assert letterbox_shape(height, width, 640) == expected


def test_input_size_is_rounded_up_to_the_stride() -> None:
    assert letterbox_shape(100, 100, 650) == (672, 672)


@given(SIDES, SIDES, SIZES)
def test_shape_is_tight(height: int, width: int, imgsz: int) -> None:
    shape = letterbox_shape(height, width, imgsz)
    assert max(shape) == imgsz
    assert all(side % 32 == 0 for side in shape)
    short = imgsz * min(height, width) / max(height, width)
    # One cell of the coarsest map is too few for bfloat16 on AMX.
    assert min(shape) == 64 or 64 < min(shape) <= max(short, 1) + 32.5


@given(st.integers(1, 300), st.integers(1, 300), SIZES)
def test_pixels_have_the_shape_and_padding_of_the_plan(height: int, width: int, imgsz: int) -> None:
    white = np.full((height, width, 3), 255, np.uint8)
    boxed = letterbox(Pyramid(white), imgsz)
    assert boxed.pixels.shape == (*letterbox_shape(height, width, imgsz), 3)
    assert boxed.pixels.dtype == np.uint8
    grey = (boxed.pixels == 114).all(axis=2)
    assert (grey | (boxed.pixels == 255).all(axis=2)).all()
    rows, columns = np.flatnonzero(~grey.all(axis=1)), np.flatnonzero(~grey.all(axis=0))
    assert (rows[0], columns[0]) == (boxed.offset_y, boxed.offset_x)
    assert abs(len(rows) - max(height * boxed.scale, 1)) <= 0.5
    assert abs(len(columns) - max(width * boxed.scale, 1)) <= 0.5
    below = boxed.pixels.shape[0] - len(rows) - boxed.offset_y
    assert abs(below - boxed.offset_y) <= 1


@given(
    SIDES,
    SIDES,
    SIZES,
    st.lists(st.tuples(st.floats(-9, 3009), st.floats(-9, 3009)), min_size=4, max_size=4),
)
def test_points_return(
    height: int, width: int, imgsz: int, corners: list[tuple[float, float]]
) -> None:
    tiny = np.zeros((max(height // 8, 1), max(width // 8, 1), 3), np.uint8)
    boxed = letterbox(Pyramid(tiny), imgsz)
    [view] = views(Pyramid(tiny), imgsz, "off")
    quads = np.array([corners], np.float64)
    inside = quads * boxed.scale + (boxed.offset_x, boxed.offset_y)
    back = image_quads(inside.astype(np.float32), view)
    assert back.dtype == np.float32
    assert np.allclose(back, quads, atol=0.01 + 1e-3 / boxed.scale)


@pytest.mark.parametrize(("height", "width"), [(300, 500), (1500, 700), (64, 96), (999, 333)])
def test_a_mark_is_found_where_the_mapping_says(height: int, width: int) -> None:
    rgb = np.zeros((height, width, 3), np.uint8)
    top, left = height // 3, width // 4
    rgb[top : top + height // 10, left : left + width // 10] = 255
    boxed = letterbox(Pyramid(rgb), 320)
    bright = np.argwhere((boxed.pixels > 180).all(axis=2))
    low, high = bright.min(axis=0)[::-1], bright.max(axis=0)[::-1] + 1
    quad = np.array([[low, (high[0], low[1]), high, (low[0], high[1])]], np.float32)
    found = image_quads(quad, views(Pyramid(rgb), 320, "off")[0])[0]
    expected_low = np.array((left, top))
    expected_high = expected_low + np.array((width // 10, height // 10))
    assert np.abs(found[0] - expected_low).max() <= 1.01 / boxed.scale
    assert np.abs(found[2] - expected_high).max() <= 1.01 / boxed.scale


def test_shrinking_loses_no_pixel() -> None:
    """Every pixel counts in the mean: single bright lines do not vanish between samples."""
    rgb = np.zeros((2560, 2560, 3), np.uint8)
    rgb[::4] = 255
    assert np.abs(letterbox(Pyramid(rgb), 640).pixels.astype(int) - 64).max() <= 1


def test_the_image_is_not_written_to() -> None:
    rgb = smooth(100, 200)
    rgb.setflags(write=False)
    boxed = letterbox(Pyramid(rgb), 640)
    assert not np.shares_memory(rgb, boxed.pixels)


def test_no_quads_stay_no_quads() -> None:
    [view] = views(Pyramid(smooth()), 320, "off")
    assert image_quads(np.zeros((0, 4, 2), np.float32), view).shape == (0, 4, 2)
