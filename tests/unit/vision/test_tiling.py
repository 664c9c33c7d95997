"""Views: nothing of an image unseen, all tiles of one bounded shape, points find their way back."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from consumer.vision.detect.obb import Detections
from consumer.vision.image.scaling import Pyramid
from consumer.vision.views.letterbox import letterbox, letterbox_shape
from consumer.vision.views.tiling import (
    AUTO_FROM_PIXELS,
    OVERLAP,
    TILE_PIXELS,
    TILINGS,
    Closeup,
    Tiling,
    closeup,
    closeups,
    view_bytes,
    views,
)
from consumer.vision.views.view import View, in_image, turned
from tests.unit.vision.pictures import smooth

MODES = st.sampled_from(TILINGS)
SIDES = st.integers(1, 16383)


def image_quads(quads: NDArray[np.float32], view: View) -> NDArray[np.float32]:
    """Map corners in a view's pixels to corners in image pixels."""
    return in_image(Detections(quads, np.zeros(len(quads), np.float32)), view).quads


def marked(height: int, width: int) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """A black picture with one white rectangle off its middle, and where that is."""
    rgb = np.zeros((height, width, 3), np.uint8)
    left, top, right, bottom = width * 5 // 8, height // 3, width * 5 // 8 + 90, height // 3 + 40
    rgb[top:bottom, left:right] = 255
    return rgb, (left, top, right, bottom)


def corners(near: Closeup) -> list[tuple[float, float]]:
    """Left and top of each tile in the scaled picture, as views says."""
    rgb = np.zeros((near.height, near.width, 1), np.uint8).repeat(3, axis=2)
    found = views(Pyramid(rgb), 64, "on")[-near.tiles :]
    return [(-view.offset[0], -view.offset[1]) for view in found]


@given(SIDES, SIDES)
def test_auto_adds_nothing_below_two_megapixels(height: int, width: int) -> None:
    if height * width < AUTO_FROM_PIXELS:
        assert closeups(height, width, 640, "auto") == []
    assert closeups(height, width, 640, "off") == []


@pytest.mark.parametrize(
    ("height", "width", "tile", "tiles"),
    [
        (1080, 1920, (736, 1280), 1),
        (3000, 4000, (1536, 1120), 2),  # of 1536 x 2048
        (4000, 3000, (1120, 1536), 2),
    ],
)
def test_what_auto_looks_at(height: int, width: int, tile: tuple[int, int], tiles: int) -> None:
    [near] = closeups(height, width, 640, "auto")
    assert (near.tile_height, near.tile_width) == tile
    assert near.tiles == tiles


def test_auto_costs_no_more_than_its_share() -> None:
    """Of a photo's time, that is: a pixel of the network costs what three of the picture cost."""
    for height, width in [(2160, 3840), (3000, 4000), (6000, 8000), (1000, 16000), (10000, 10000)]:
        assert sum(near.tile_pixels for near in closeups(height, width, 640, "auto")) <= (
            0.33 * height * width
        )


@given(st.integers(641, 9000), st.integers(641, 9000))
def test_on_sees_everything_larger_than_the_input_in_full(height: int, width: int) -> None:
    assert (closeups(height, width, 640, "on")[-1].height, width) == (height, width)
    steps = [640 / max(height, width)]
    steps += [near.width / width for near in closeups(height, width, 640, "on")]
    assert steps == sorted(steps)


def test_on_adds_nothing_to_an_image_of_the_inputs_size() -> None:
    assert closeups(640, 480, 640, "on") == []


@given(SIDES, SIDES, st.sampled_from([64, 640, 1280]), MODES)
def test_tiles_are_bounded(height: int, width: int, imgsz: int, tiling: Tiling) -> None:
    for near in closeups(height, width, imgsz, tiling):
        assert near.tile_height % 32 == near.tile_width % 32 == 0
        assert near.tile_height * near.tile_width <= TILE_PIXELS


@pytest.mark.parametrize(
    ("height", "width"), [(3000, 4000), (2000, 1500), (700, 9000), (5000, 520), (1700, 1700)]
)
def test_tiles_leave_nothing_out_and_overlap(height: int, width: int) -> None:
    near = closeup(height, width, 1.0)
    places = corners(near)
    seen = np.zeros((height, width), np.uint8)
    for left, top in places:
        seen[max(top, 0) : top + near.tile_height, max(left, 0) : left + near.tile_width] = 1
    assert seen.all()
    for axis, (side, parts) in enumerate(
        [(near.tile_width, near.columns), (near.tile_height, near.rows)]
    ):
        starts = sorted({place[axis] for place in places})
        assert len(starts) == parts
        assert all(start + side - after >= OVERLAP for start, after in pairwise(starts))


@pytest.mark.parametrize("tiling", TILINGS)
@pytest.mark.parametrize(("height", "width"), [(1200, 1800), (2400, 3300), (300, 7000)])
def test_a_mark_is_found_where_every_view_says(height: int, width: int, tiling: Tiling) -> None:
    rgb, (left, top, right, bottom) = marked(height, width)
    whole, *tiles = views(Pyramid(rgb), 640, tiling)
    assert np.array_equal(whole.pixels, letterbox(Pyramid(rgb), 640).pixels)
    for view in (whole, *tiles):
        bright = np.argwhere((view.pixels > 180).all(axis=2))
        if not len(bright):
            continue
        low, high = bright.min(axis=0)[::-1], bright.max(axis=0)[::-1] + 1
        quad = np.array([[low, (high[0], low[1]), high, (low[0], high[1])]], np.float32)
        found = image_quads(quad, view)[0]
        inside = _visible(view, (left, top, right, bottom))
        assert np.abs(found[[0, 2]].ravel() - inside).max() <= 1.01 / min(view.scale)


def _visible(view: View, box: tuple[int, int, int, int]) -> np.ndarray:
    """The part of a box in image pixels that the view shows."""
    height, width = view.pixels.shape[:2]
    shown = image_quads(np.array([[(0, 0), (0, 0), (width, height), (0, 0)]], np.float32), view)[0]
    return np.concatenate((np.maximum(box[:2], shown[0]), np.minimum(box[2:], shown[2])))


def test_sides_within_the_picture_are_cut_and_its_own_are_not() -> None:
    between, near = closeups(3000, 4000, 640, "on")
    tiles = views(Pyramid(smooth(3000, 4000)), 640, "on")[1 + between.tiles :]
    assert near == closeup(3000, 4000, 1.0)
    assert len(tiles) == near.tiles > 2
    first, last = tiles[0].cut, tiles[-1].cut
    assert (first[0], first[1]) == (False, False)
    assert (last[2], last[3]) == (False, False)
    assert (first[2], first[3]) == (near.columns > 1, near.rows > 1)
    assert (last[0], last[1]) == (near.columns > 1, near.rows > 1)
    assert views(Pyramid(smooth(100, 900)), 640, "on")[0].cut == (False,) * 4


@pytest.mark.parametrize(("height", "width"), [(1080, 1920), (3000, 4000), (650, 9000)])
@pytest.mark.parametrize("tiling", TILINGS)
def test_memory_is_told_before(height: int, width: int, tiling: Tiling) -> None:
    rgb = smooth(height, width)
    image = Pyramid(rgb)
    seen = views(image, 640, tiling)
    taken = sum(view.pixels.nbytes for view in (*seen, *(turned(view, 1) for view in seen)))
    scale, level = 0.5, image.at(0.5)
    while min(level.shape[:2]) >= 2:
        taken += level.nbytes
        scale /= 2
        level = image.at(scale)
    assert taken <= view_bytes(height, width, 640, tiling)
    assert (taken * 3 >= view_bytes(height, width, 640, tiling)) or tiling == "on"
    of_letterbox = 12 * int(np.prod(letterbox_shape(height, width, 640)))
    assert view_bytes(height, width, 640, "off") == of_letterbox + height * width
