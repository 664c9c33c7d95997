"""Images that lie on their side or upside down: which turns they need, and what these add."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from consumer.vision.detect.obb import Detections
from consumer.vision.finding import FindOptions, FoundPlates, find_plates
from consumer.vision.image.scaling import Pyramid
from consumer.vision.steps import NetworkName, Pixels, run_steps
from consumer.vision.views.merge import is_cut
from consumer.vision.views.tiling import half, views
from consumer.vision.views.turning import CERTAIN, HINT, next_turn
from consumer.vision.views.view import View, in_image, turned

Corners = NDArray[np.float32]
SIDES = st.integers(1, 90)
TURNS = st.integers(0, 3)
HEIGHT, WIDTH = 480, 640
LEVEL = np.array([(100, 100), (200, 100), (200, 130), (100, 130)], np.float32)
ON_END = LEVEL[:, ::-1]
SQUARE = np.array([(100, 100), (140, 100), (140, 140), (100, 140)], np.float32)
NOTHING = Detections(np.zeros((0, 4, 2), np.float32), np.zeros(0, np.float32))


def plate(score: float, quad: Corners = LEVEL) -> Detections:
    return Detections(quad[None].copy(), np.array([score], np.float32))


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
    return Detections(quads, found.scores)


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
    found = in_image(Detections(corner[None].astype(np.float32), np.ones(1, np.float32)), view)
    assert found.quads[0].min(axis=0).tolist() == [number % width, number // width]
    assert found.quads[0].max(axis=0).tolist() == [number % width + 1, number // width + 1]


@given(SIDES, SIDES, TURNS, st.floats(0.1, 3), st.floats(0.1, 3), st.integers(-99, 99))
def test_corners_find_their_way_back(
    height: int, width: int, turns: int, across: float, down: float, offset: int
) -> None:
    straight = View(np.zeros((height, width, 3), np.uint8), (across, down), (offset, -offset))
    view = turned(straight, turns)
    quads = np.array([[(0, 0), (width, 0), (width, height), (0, height)]], np.float32)
    moved = turned_corners(quads, height, width, turns)
    expected = in_image(Detections(quads, np.ones(1, np.float32)), straight)
    found = in_image(Detections(moved, np.ones(1, np.float32)), view)
    assert np.allclose(found.quads, expected.quads, atol=1e-3)


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
    found = Detections(quads, np.ones(4, np.float32))
    other = turned(view, turns)
    assert is_cut(shown_in(other, found).quads, other).tolist() == list(cut)


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
    both = Detections(quads, np.array([0.95, HINT], np.float32))
    assert next_turn({0: both}, WIDTH) == 1
    both.scores[1] = HINT - 0.01
    assert next_turn({0: both}, WIDTH) is None


class TurnedScene:
    """Returns, for the views of each turn, what a detector shows there, and notes the turns."""

    def __init__(self, image: Pixels, shown: dict[int, Detections]) -> None:
        [whole] = views(Pyramid(image), 640, "off")
        self.views = {turns: turned(whole, turns) for turns in range(4)}
        self.halves = [turned(half(whole), turns).pixels for turns in range(4)]
        self.shown, self.turns = shown, list[int]()

    def run(self, _network: NetworkName, batch: Pixels) -> list[Detections]:
        if any(np.array_equal(pixels, batch[0]) for pixels in self.halves):
            return [NOTHING]
        [turns] = [k for k, view in self.views.items() if np.array_equal(view.pixels, batch[0])]
        self.turns.append(turns)
        return [shown_in(self.views[turns], self.shown.get(turns, NOTHING))]


def found_in(shown: dict[int, Detections]) -> tuple[FoundPlates, list[int]]:
    """What is found in an image whose turned views show these, and the turns that were used."""
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    scene = TurnedScene(image, shown)
    options = FindOptions(640, "off", corners=False)
    return run_steps(find_plates(image, options), scene.run), scene.turns


@pytest.mark.parametrize(("height", "width"), [(640, 640), (1000, 300), (300, 1000)])
def test_what_fills_the_image_needs_no_turn(height: int, width: int) -> None:
    everything = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    assert next_turn({0: plate(0.9, everything)}, max(height, width)) is None


def test_a_level_certain_plate_needs_no_turn() -> None:
    assert found_in({0: plate(0.9), 1: plate(0.9, SQUARE)})[1] == [0]


@pytest.mark.parametrize("turns", [1, 3])
def test_a_certain_plate_of_a_turned_view_counts_with_all_that_it_shows(turns: int) -> None:
    both = Detections(np.stack((ON_END, ON_END + 200)), np.array([0.95, 0.31], np.float32))
    shown = {turns: both} if turns == 1 else {1: plate(HINT, SQUARE + 300), 3: both}
    found, used = found_in(shown)
    assert used == [0, 1, 3][: 2 if turns == 1 else 3]
    assert np.allclose(found.plates.scores, both.scores)
    corners = np.sort(found.plates.quads, axis=1)
    assert np.allclose(corners, np.sort(both.quads, axis=1), atol=1e-2)
    assert found.unused_score == 0


def test_an_uncertain_find_of_a_turned_view_does_not_count_but_is_reported() -> None:
    found, used = found_in({1: plate(0.6), 3: plate(0.65)})
    assert used == [0, 1, 3]
    assert not len(found.plates.quads)
    assert found.unused_score == pytest.approx(0.65)


def test_a_plate_that_both_views_show_counts_once() -> None:
    found, _ = found_in({0: plate(0.5, ON_END), 1: plate(0.9, ON_END)})
    assert found.plates.scores.tolist() == [np.float32(0.9)]


def test_the_half_scale_shows_what_the_whole_view_does_not() -> None:
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    scales: list[tuple[int, ...]] = []

    def run(_network: NetworkName, batch: Pixels) -> list[Detections]:
        scales.append(batch.shape[1:3])
        in_half = Detections(LEVEL[None] / 2 + np.float32([0, 8]), np.float32([0.9]))
        return [in_half if batch.shape[2] == WIDTH // 2 else NOTHING]

    found = run_steps(find_plates(image, FindOptions(640, "off", corners=False)), run)
    assert scales == [(HEIGHT, WIDTH), (256, WIDTH // 2)]
    assert np.allclose(found.plates.quads, LEVEL[None], atol=1e-3)


def test_all_turns_come_in_order() -> None:
    hint = {turns: plate(HINT) for turns in range(4)}
    assert found_in(hint)[1] == [0, 1, 3, 2]
