"""Views at a smaller scale: when they are needed, of what, and what is taken from them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from consumer.vision.detect.backends.base import STRIDE
from consumer.vision.detect.obb import Detections
from consumer.vision.finding import find_plates, run_steps
from consumer.vision.views.downscale import (
    CERTAIN,
    SECOND_CHANCE,
    TOO_NEAR,
    downscale,
    too_near,
    wants_downscale,
)
from consumer.vision.views.merge import merge
from consumer.vision.views.tiling import views
from consumer.vision.views.view import View, in_image
from models.evaluation.metrics import covered_share

Box = tuple[float, float, float, float]
WHOLE = View(np.zeros((480, 640, 3), np.uint8), (0.5, 0.5), (0, 0))
HALF = downscale([WHOLE])
TILE = View(np.zeros((480, 640, 3), np.uint8), (1.0, 1.0), (0, 0), (False, False, True, True))


def seen(view: View, *plates: tuple[Box, float]) -> Detections:
    """What a view would show of plates at (left, top, right, bottom) in the image."""
    quads = [[(x, y), (x2, y), (x2, y2), (x, y2)] for (x, y, x2, y2), _ in plates]
    corners = np.array(quads, np.float32).reshape(-1, 4, 2) * view.scale + view.offset
    scores = np.array([score for _, score in plates], np.float32)
    return Detections.exact(corners.astype(np.float32), scores)


def boxes(found: Detections) -> list[Box]:
    return [(*quad[0].round(1).tolist(), *quad[2].round(1).tolist()) for quad in found.quads]


NEAR = (100.0, 100.0, 900.0, 300.0)  # 100 pixels high in the whole view, 50 at half of that
SMALL = (100.0, 100.0, 300.0, 150.0)


@pytest.mark.parametrize(("height", "width"), [(480, 640), (720, 1280), (333, 1000), (95, 700)])
def test_a_downscaled_view_shows_the_whole_at_half_the_scale(height: int, width: int) -> None:
    rgb = np.zeros((height, width, 3), np.uint8)
    low, high = np.array((width // 2, height // 3)), np.array((width // 2 + 64, height // 3 + 32))
    rgb[low[1] : high[1], low[0] : high[0]] = 255
    [whole] = views(rgb, 640, "off")
    back = downscale([whole])
    assert back.downscales == 1
    assert back.cut == (False,) * 4
    assert not back.pixels.shape[0] % STRIDE
    assert not back.pixels.shape[1] % STRIDE
    bright = np.argwhere((back.pixels > 180).all(axis=2))[:, ::-1]
    a, b = bright.min(axis=0), bright.max(axis=0) + 1
    mark: NDArray[np.float32] = np.array([[a, (b[0], a[1]), b, (a[0], b[1])]], np.float32)
    found = in_image(Detections.exact(mark, np.ones(1, np.float32)), back).quads[0]
    assert np.abs(found[[0, 2]] - [low, high]).max() <= 1.01 / back.scale[0]


@pytest.mark.parametrize(
    ("plates", "wanted"),
    [
        ([(SMALL, CERTAIN)], False),
        ([(SMALL, CERTAIN - 0.01)], True),
        ([], True),
        ([(NEAR, 0.9)], True),
        ([(SMALL, 0.9), (NEAR, 0.4)], True),
    ],
)
def test_near_plates_and_images_without_certain_ones_need_a_downscaled_view(
    plates: list[tuple[Box, float]], wanted: bool
) -> None:
    assert wants_downscale([WHOLE], [seen(WHOLE, *plates)]) is wanted


def test_a_certain_plate_in_a_tile_is_one() -> None:
    results = [seen(WHOLE), seen(TILE, (SMALL, 0.9))]
    assert not wants_downscale([WHOLE, TILE], results)


def test_a_third_scale_is_only_for_a_plate_still_too_near() -> None:
    huge = (0.0, 0.0, 1200.0, 600.0)  # 300 pixels high in the whole view, 150 in the half
    assert not wants_downscale([WHOLE, HALF], [seen(WHOLE), seen(HALF)])
    assert not wants_downscale([WHOLE, HALF], [seen(WHOLE, (NEAR, 0.9)), seen(HALF, (NEAR, 0.9))])
    assert wants_downscale([WHOLE, HALF], [seen(WHOLE, (NEAR, 0.9)), seen(HALF, (huge, 0.9))])


def test_what_is_higher_than_the_view_is_not_too_near() -> None:
    quads = seen(WHOLE, ((0, 0, 3000, 2 * 480), 0.9), ((0, 0, 3000, 2 * 479), 0.9)).quads
    assert too_near(quads, WHOLE).tolist() == [False, True]


def test_views_end_whatever_the_detector_returns() -> None:
    asked: list[tuple[int, ...]] = []

    def detect(batch: NDArray[np.uint8]) -> list[Detections]:
        asked.append(batch.shape[1:3])
        height, width = batch.shape[1:3]
        view = View(batch[0], (1, 1), (0, 0))
        return [seen(view, ((0, 0, float(width), max(TOO_NEAR, height - 1)), 0.9))]

    large, tiny = np.zeros((1500, 2000, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)
    found = run_steps(find_plates(views(large, 640, "off")), detect)
    assert asked == [(480, 640), (256, 320), (128, 160), (64, 96)]
    assert [view.downscales for view in found.views] == [0, 1, 2, 3]
    assert len(found.results) == 4
    assert len(run_steps(find_plates(views(tiny, 64, "off")), detect).views) == 1


def test_a_near_plate_is_taken_from_further_away() -> None:
    true = (80.0, 90.0, 930.0, 310.0)
    found = merge([WHOLE, HALF], [seen(WHOLE, (NEAR, 0.95)), seen(HALF, (true, 0.6))])
    assert boxes(found) == [true]
    # What is not seen there, or is something else, changes nothing.
    assert boxes(merge([WHOLE, HALF], [seen(WHOLE, (NEAR, 0.95)), seen(HALF)])) == [NEAR]
    other = (1000.0, 600.0, 1200.0, 660.0)
    found = merge([WHOLE, HALF], [seen(WHOLE, (NEAR, 0.95)), seen(HALF, (other, 0.9))])
    assert boxes(found) == [NEAR]


def test_pieces_of_a_near_plate_give_way_to_the_whole() -> None:
    left, right = (100.0, 100.0, 500.0, 300.0), (520.0, 100.0, 900.0, 300.0)
    found = merge([WHOLE, HALF], [seen(WHOLE, (left, 0.9), (right, 0.8)), seen(HALF, (NEAR, 0.5))])
    assert boxes(found) == [NEAR]


def test_the_furthest_view_of_a_plate_counts() -> None:
    quarter = downscale([WHOLE, HALF])
    sizes = [(100.0, 100.0, 700.0, 500.0), (60.0, 80.0, 900.0, 560.0), (20.0, 40.0, 1200.0, 640.0)]
    results = [
        seen(view, (box, 0.9)) for view, box in zip((WHOLE, HALF, quarter), sizes, strict=True)
    ]
    assert boxes(merge([WHOLE, HALF, quarter], results)) == [sizes[2]]


def test_a_small_plate_is_left_to_the_whole_view() -> None:
    near = (400.0, 400.0, 1200.0, 600.0)
    results = [
        seen(WHOLE, (SMALL, 0.8), (near, 0.9)),
        seen(HALF, ((90.0, 90.0, 320.0, 160.0), 0.9), (near, 0.9)),
    ]
    assert sorted(boxes(merge([WHOLE, HALF], results))) == [SMALL, near]


@pytest.mark.parametrize(
    ("first", "second", "counts"),
    [
        (None, SECOND_CHANCE, True),
        (None, SECOND_CHANCE - 0.01, False),
        (CERTAIN - 0.01, SECOND_CHANCE, True),
        (CERTAIN, 0.99, False),
    ],
)
def test_second_chance(first: float | None, second: float, counts: bool) -> None:
    plate, elsewhere = SMALL, (800.0, 600.0, 1000.0, 660.0)
    before = [] if first is None else [(elsewhere, first)]
    found = merge([WHOLE, HALF], [seen(WHOLE, *before), seen(HALF, (plate, second))])
    assert (plate in boxes(found)) is counts


def test_a_plate_too_near_in_a_tile_is_taken_from_the_whole_view() -> None:
    true, part = (100.0, 100.0, 360.0, 190.0), (100.0, 100.0, 300.0, 180.0)
    found = merge([WHOLE, TILE], [seen(WHOLE, (true, 0.7)), seen(TILE, (part, 0.95))])
    assert boxes(found) == [true]


@pytest.mark.parametrize("far", [(100.0, 100.0, 500.0, 300.0), (640.0, 90.0, 1180.0, 290.0)])
def test_what_only_the_nearer_view_shows_of_a_plate_stays_covered(far: Box) -> None:
    found = merge([WHOLE, HALF], [seen(WHOLE, (NEAR, 0.95)), seen(HALF, (far, 0.31))])
    [quad] = found.quads
    for whole in (seen(WHOLE, (NEAR, 1)), seen(WHOLE, (far, 1))):
        assert covered_share(in_image(whole, WHOLE).quads[0], [quad]) > 0.999
    assert found.scores.tolist() == [np.float32(0.95)]


def test_a_tilted_plate_grows_along_its_own_sides() -> None:
    near_quad = np.array([[(200, 100), (800, 250), (750, 450), (150, 300)]])
    longer = near_quad + np.array([(0, 0), (200, 50), (200, 50), (0, 0)])
    upper = longer * 0.5 + longer[:, [0, 1, 1, 0]] * 0.5
    scores = np.array([0.9], np.float32)
    for first, second in ((near_quad, longer), (longer, near_quad), (near_quad, upper)):
        near = Detections.exact((first * 0.5).astype(np.float32), scores)
        far = Detections.exact((second * HALF.scale + HALF.offset).astype(np.float32), scores)
        [quad] = merge([WHOLE, HALF], [near, far]).quads
        assert np.abs(quad - longer[0]).max() < 0.1


@pytest.mark.parametrize("share", [0.4, 0.6, 0.9])
def test_a_second_chance_takes_nothing_from_the_first_view(share: float) -> None:
    whole, part = (200.0, 200.0, 400.0, 250.0), (200.0, 200.0, 200 + 200 * share, 250.0)
    found = merge([WHOLE, HALF], [seen(WHOLE, (whole, 0.65)), seen(HALF, (part, 0.9))])
    assert (
        covered_share(in_image(seen(WHOLE, (whole, 1)), WHOLE).quads[0], list(found.quads)) > 0.95
    )


def test_a_certain_plate_that_is_not_believed_does_not_end_the_search() -> None:
    large = (50.0, 50.0, 350.0, 140.0)  # 45 pixels high in the whole view, which shows nothing
    first = [seen(WHOLE), seen(TILE, (large, 0.95))]
    assert wants_downscale([WHOLE, TILE], first)
    # From further away it is seen as well: then it is a plate.
    found = merge([WHOLE, TILE, HALF], [*first, seen(HALF, (large, 0.5))])
    assert boxes(found) == [large]
    assert not len(merge([WHOLE, TILE, HALF], [*first, seen(HALF)]).quads)


def test_a_find_on_a_near_plate_does_not_take_the_plates_place() -> None:
    near, true = (300.0, 100.0, 1000.0, 300.0), (60.0, 100.0, 1240.0, 300.0)
    letter = (310.0, 110.0, 450.0, 280.0)
    results = [seen(WHOLE, (near, 0.85)), seen(HALF, (letter, 0.9), (true, 0.75))]
    found = merge([WHOLE, HALF], results)
    [whole] = in_image(seen(WHOLE, (true, 1)), WHOLE).quads
    assert covered_share(whole, list(found.quads)) > 0.999
