"""Images that lie on their side or upside down: which turns they need, and what these add."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from consumer.vision.detect.obb import Detections
from consumer.vision.finding import find_plates, further_views, run_steps
from consumer.vision.views.downscale import CERTAIN, downscale
from consumer.vision.views.merge import is_cut, merge, uncovered_score
from consumer.vision.views.tiling import view_bytes, views
from consumer.vision.views.turning import HINT, next_turn
from consumer.vision.views.view import View, in_image, turned
from tests.support.stand_in import StandInDetector

Corners = NDArray[np.float32]
SIDES = st.integers(1, 90)
TURNS = st.integers(0, 3)
HEIGHT, WIDTH = 480, 640
LEVEL = np.array([(100, 100), (200, 100), (200, 130), (100, 130)], np.float32)
ON_END = LEVEL[:, ::-1]
SQUARE = np.array([(100, 100), (140, 100), (140, 140), (100, 140)], np.float32)
NOTHING = Detections.exact(np.zeros((0, 4, 2), np.float32), np.zeros(0, np.float32))


def plate(score: float, quad: Corners = LEVEL) -> Detections:
    return Detections.exact(quad[None].copy(), np.array([score], np.float32))


def whole_view() -> View:
    [view] = views(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 640, "off")
    return view


def turned_corners(quads: Corners, height: int, width: int, turns: int) -> Corners:
    """Where corners in a picture of that size come to lie when it is turned clockwise."""
    for _ in range(turns):
        quads = np.stack((height - quads[..., 1], quads[..., 0]), axis=-1)
        height, width = width, height
    return quads


def shown_in(view: View, found: Detections) -> Detections:
    """What a view shows of plates in the image."""
    height, width = view.pixels.shape[:2]
    if view.turns % 2:
        height, width = width, height
    quads = found.quads * np.array(view.scale) + np.array(view.offset)
    quads = turned_corners(quads, height, width, view.turns).astype(np.float32)
    return Detections.exact(quads, found.scores)


@given(SIDES, SIDES, TURNS, st.data())
def test_a_pixel_is_where_the_turned_view_says(
    height: int, width: int, turns: int, data: st.DataObject
) -> None:
    numbers = np.arange(height * width, dtype=np.int64).reshape(height, width)
    pixels = np.stack([numbers // 256**i % 256 for i in range(3)], -1).astype(np.uint8)
    view = turned(View(pixels, (1.0, 1.0), (0.0, 0.0)), turns)
    row = data.draw(st.sampled_from([0, view.pixels.shape[0] - 1]))
    column = data.draw(st.sampled_from([0, view.pixels.shape[1] - 1]))
    number = int(view.pixels[row, column] @ np.array([1, 256, 65536]))
    corner = np.array([(column, row), (column + 1, row), (column + 1, row + 1), (column, row + 1)])
    found = in_image(
        Detections.exact(corner[None].astype(np.float32), np.ones(1, np.float32)), view
    )
    assert found.quads[0].min(axis=0).tolist() == [number % width, number // width]
    assert found.quads[0].max(axis=0).tolist() == [number % width + 1, number // width + 1]


@given(SIDES, SIDES, TURNS, st.floats(0.1, 3), st.floats(0.1, 3), st.integers(-99, 99))
def test_corners_and_their_spread_find_their_way_back(
    height: int, width: int, turns: int, across: float, down: float, offset: int
) -> None:
    straight = View(np.zeros((height, width, 3), np.uint8), (across, down), (offset, -offset))
    view = turned(straight, turns)
    quads = np.array([[(0, 0), (width, 0), (width, height), (0, height)]], np.float32)
    spread = np.array([[(-1, -2), (3, -2), (3, 4), (-1, 4)]], np.float32)
    moved = turned_corners(quads, height, width, turns)
    moved_spread = turned_corners(quads + spread, height, width, turns) - moved
    expected = in_image(Detections(quads, np.ones(1, np.float32), spread), straight)
    found = in_image(Detections(moved, np.ones(1, np.float32), moved_spread), view)
    assert np.allclose(found.quads, expected.quads, atol=1e-3)
    assert np.allclose(found.spread, expected.spread, atol=1e-3)


@given(TURNS, TURNS, st.tuples(*[st.booleans()] * 4))
def test_turning_goes_round(first: int, second: int, cut: tuple[bool, bool, bool, bool]) -> None:
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    view = View(pixels, (1.0, 1.0), (0.0, 0.0), cut)
    both, once = turned(turned(view, first), second), turned(view, first + second)
    assert (both.turns, both.cut) == (once.turns, once.cut)
    assert np.array_equal(both.pixels, once.pixels)
    back = turned(both, -both.turns)
    assert (back.turns, back.cut) == (0, cut)
    assert np.array_equal(back.pixels, pixels)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("side", range(4))
def test_a_side_that_cuts_cuts_in_the_turned_view(turns: int, side: int) -> None:
    cut = (side == 0, side == 1, side == 2, side == 3)
    view = View(np.zeros((400, 600, 3), np.uint8), (1.0, 1.0), (0.0, 0.0), cut)
    boxes = [(0, 180, 50, 200), (280, 0, 320, 20), (550, 180, 600, 200), (280, 380, 320, 400)]
    quads = np.array([[(x, y), (a, y), (a, b), (x, b)] for x, y, a, b in boxes], np.float32)
    found = Detections.exact(quads, np.ones(4, np.float32))
    other = turned(view, turns)
    assert is_cut(shown_in(other, found).quads, other).tolist() == list(cut)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize(("height", "width"), [(480, 640), (333, 1000), (1000, 217)])
def test_a_turned_view_downscaled(height: int, width: int, turns: int) -> None:
    [whole] = views(np.zeros((height, width, 3), np.uint8), 640, "off")
    first = turned(whole, turns)
    second = downscale([first])
    assert (second.downscales, second.turns) == (1, turns)
    straight = downscale([whole])
    assert np.array_equal(second.pixels, turned(straight, turns).pixels)
    found = plate(0.9)
    assert np.allclose(in_image(shown_in(second, found), second).quads, found.quads, atol=1e-3)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ({0: plate(CERTAIN)}, None),
        ({0: plate(CERTAIN - 0.01)}, 1),
        ({0: NOTHING}, 1),
        ({0: plate(0.9, ON_END)}, 1),
        ({0: plate(0.9, SQUARE)}, 1),
        ({0: NOTHING, 1: NOTHING}, None),
        ({0: NOTHING, 1: plate(HINT - 0.01)}, None),
        ({0: NOTHING, 1: plate(HINT)}, 3),
        ({0: NOTHING, 1: plate(CERTAIN)}, None),
        ({0: plate(HINT), 1: NOTHING}, 2),
        ({0: plate(HINT), 1: plate(HINT)}, 3),
        ({0: plate(HINT), 1: plate(HINT), 3: plate(CERTAIN)}, None),
        ({0: plate(HINT), 1: plate(HINT), 3: NOTHING}, 2),
        ({0: plate(0.9, ON_END), 1: NOTHING}, None),
        ({0: NOTHING, 1: plate(HINT), 3: NOTHING}, None),
        ({0: plate(HINT), 1: plate(HINT), 3: NOTHING, 2: plate(HINT)}, None),
    ],
)
def test_the_next_turn(seen: dict[int, Detections], expected: int | None) -> None:
    assert next_turn(seen, WIDTH) == expected


def test_a_plate_on_end_beside_a_certain_level_one_asks_for_a_turn() -> None:
    quads = np.stack((LEVEL, ON_END + 200))
    both = Detections.exact(quads, np.array([0.95, HINT], np.float32))
    assert next_turn({0: both}, WIDTH) == 1
    both.scores[1] = HINT - 0.01
    assert next_turn({0: both}, WIDTH) is None


@pytest.mark.parametrize(("height", "width"), [(640, 640), (1000, 300), (300, 1000)])
def test_what_fills_the_picture_needs_no_turn(height: int, width: int) -> None:
    first = views(np.zeros((height, width, 3), np.uint8), 640, "auto")
    found = run_steps(find_plates(first), StandInDetector().detect)
    assert {view.turns for view in found.views} == {0}


@pytest.mark.parametrize("turns", [1, 3])
@pytest.mark.parametrize("score", [CERTAIN, 0.95])
def test_a_certain_plate_of_a_turned_view_counts_with_all_that_it_shows(
    turns: int, score: float
) -> None:
    whole = whole_view()
    seen = [whole, turned(whole, 1), turned(whole, 3)][: 2 if turns == 1 else 3]
    quads = np.stack((ON_END, ON_END + 200))
    both = Detections.exact(quads, np.array([score, 0.31], np.float32))
    hint = plate(HINT, SQUARE + 300)
    results = [NOTHING, *([shown_in(seen[1], hint)] if turns == 3 else []),
               shown_in(seen[-1], both)]  # fmt: skip
    found = merge(seen, results)
    assert np.allclose(found.scores, both.scores)
    assert np.allclose(np.sort(found.quads, axis=1), np.sort(quads, axis=1), atol=1e-2)
    assert uncovered_score(seen, results) == 0


def test_an_uncertain_find_of_a_turned_view_is_not_covered_but_reported() -> None:
    whole = whole_view()
    seen = [whole, turned(whole, 1), turned(whole, 3)]
    results = [NOTHING, shown_in(seen[1], plate(0.6)), shown_in(seen[2], plate(0.65))]
    assert not len(merge(seen, results).quads)
    assert uncovered_score(seen, results) == pytest.approx(0.65)
    assert uncovered_score(seen[:1], results[:1]) == 0


def test_a_plate_that_both_views_show_is_covered_once() -> None:
    whole = whole_view()
    seen = [whole, turned(whole, 1)]
    results = [plate(0.5, ON_END), plate(0.9, ON_END)]
    found = merge(seen, [shown_in(v, a) for v, a in zip(seen, results, strict=True)])
    assert found.scores.tolist() == [np.float32(0.9)]


def test_a_turned_view_takes_nothing_from_a_certain_plate() -> None:
    whole = whole_view()
    seen = [whole, turned(whole, 1)]
    smaller = SQUARE + np.array([(0, 0), (-8, 0), (-8, -8), (0, -8)], np.float32)
    results = [plate(0.75, SQUARE), shown_in(seen[1], plate(0.9, smaller))]
    found = merge(seen, results)
    assert found.scores.tolist() == [np.float32(0.9), np.float32(0.75)]
    assert np.allclose(found.quads[1], SQUARE, atol=1e-2)
    # One that is not certain gives way, as it would to a better view of the same turn.
    results[0] = plate(0.6, SQUARE)
    assert merge(seen, results).scores.tolist() == [np.float32(0.9)]


def test_with_more_confidence_a_view_that_is_not_needed_any_more_does_not_count() -> None:
    whole = whole_view()
    seen = [whole, turned(whole, 1), turned(whole, 3)]
    sure = shown_in(seen[2], plate(0.9))
    assert len(merge(seen, [NOTHING, shown_in(seen[1], plate(HINT)), sure]).quads) == 1
    assert not len(merge(seen, [NOTHING, NOTHING, sure]).quads)


def test_all_turns_come_in_order_and_only_one_is_kept_in_memory() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (1500, 2000, 3), np.uint8)
    seen = views(rgb, 640, "auto")
    first = list(seen)
    assert len(first) == 2
    results = [shown_in(view, plate(HINT)) for view in seen]
    turns = []
    while fresh := further_views(seen, results):
        taken = sum(view.pixels.nbytes for view in (*seen, *fresh) if view.pixels.strides[0])
        assert taken <= view_bytes(1500, 2000, 640, "auto")
        turns += [(view.turns, view.downscales) for view in fresh]
        seen += fresh
        results += [shown_in(view, plate(HINT)) for view in fresh]
    assert turns == [(0, 1), *[(k, back) for k in (1, 3, 2) for back in (0, 0, 1)]]
    for view in seen:
        if not view.downscales:
            like = next(it for it in first if it.scale == view.scale)
            assert view.pixels.shape == turned(like, view.turns).pixels.shape
