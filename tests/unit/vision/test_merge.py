"""Merging views: a plate once, whole where any view shows it whole, and never none."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from consumer.vision.detect.obb import Detections
from consumer.vision.views.merge import SAME_PLATE_IOU, is_cut, merge
from consumer.vision.views.overlap import shared_part
from consumer.vision.views.view import View

Box = tuple[float, float, float, float]
BLANK = np.zeros((400, 600, 3), np.uint8)
# A picture of 1000 x 400, whole at half its size and in two tiles that overlap by 200.
WHOLE = View(np.zeros((224, 512, 3), np.uint8), (0.5, 0.5), (6, 12))
LEFT = View(BLANK, (1.0, 1.0), (0, 0), (False, False, True, False))
RIGHT = View(BLANK, (1.0, 1.0), (-400, 0), (True, False, False, False))
VIEWS = (WHOLE, LEFT, RIGHT)


def seen(view: View, *plates: tuple[Box, float]) -> Detections:
    """What a view would show of plates given as (left, top, right, bottom) and score."""
    quads, scores = [], []
    for (x, y, x2, y2), score in plates:
        quad = np.array([(x, y), (x2, y), (x2, y2), (x, y2)], np.float32)
        quads.append(quad * view.scale + view.offset)
        scores.append(score)
    return Detections.exact(
        np.array(quads, np.float32).reshape(-1, 4, 2), np.array(scores, np.float32)
    )


def merged(*plates: list[tuple[Box, float]]) -> list[tuple[Box, float]]:
    """The plates that are left of those that each of VIEWS reports."""
    results = [seen(view, *some) for view, some in zip(VIEWS, plates, strict=True)]
    found = merge(VIEWS, results)
    return [
        ((*map(float, quad[0].round(2)), *map(float, quad[2].round(2))), round(float(score), 3))  # type: ignore[misc]
        for quad, score in zip(found.quads, found.scores, strict=True)
    ]


def test_one_view_is_only_mapped_back() -> None:
    plates = [((10.0, 20.0, 110.0, 50.0), 0.3), ((12.0, 20.0, 112.0, 50.0), 0.9)]
    found = merge([WHOLE], [seen(WHOLE, *plates)])
    assert found.scores.tolist() == np.array([0.3, 0.9], np.float32).tolist()
    assert found.quads[1].tolist() == [[12, 20], [112, 20], [112, 50], [12, 50]]


def test_nothing_seen_is_nothing() -> None:
    assert merged([], [], []) == []


def test_a_plate_in_three_views_is_one_and_the_best_of_them_stays() -> None:
    box = (450.0, 100.0, 550.0, 130.0)
    near = (452.0, 100.0, 551.0, 130.0)
    assert merged([(near, 0.5)], [(box, 0.9)], [(near, 0.8)]) == [(box, 0.9)]


def test_different_plates_stay_the_most_certain_first() -> None:
    one, two, three = (
        (10.0, 10.0, 60.0, 30.0),
        (500.0, 50.0, 560.0, 70.0),
        (900.0, 9.0, 960.0, 30.0),
    )
    assert merged([(two, 0.4)], [(one, 0.6)], [(three, 0.9)]) == [
        (three, 0.9), (one, 0.6), (two, 0.4)
    ]  # fmt: skip


def test_a_part_gives_way_to_the_whole_even_if_it_is_more_certain() -> None:
    part, plate = (540.0, 100.0, 600.0, 130.0), (540.0, 100.0, 660.0, 130.0)
    assert merged([], [(part, 0.9)], [(plate, 0.4)]) == [(plate, 0.4)]
    assert merged([(plate, 0.3)], [(part, 0.9)], []) == [(plate, 0.3)]


def test_a_part_stays_if_no_view_shows_the_whole() -> None:
    part = (540.0, 100.0, 600.0, 130.0)
    assert merged([], [(part, 0.9)], []) == [(part, 0.9)]
    other = (300.0, 100.0, 360.0, 130.0)
    assert merged([(other, 0.5)], [(part, 0.3)], []) == [(other, 0.5), (part, 0.3)]


def test_both_parts_of_a_plate_wider_than_the_overlap_stay() -> None:
    parts = (250.0, 100.0, 600.0, 160.0), (400.0, 100.0, 760.0, 160.0)
    assert merged([], [(parts[0], 0.6)], [(parts[1], 0.7)]) == [(parts[1], 0.7), (parts[0], 0.6)]


def test_a_large_plate_that_only_a_closer_view_shows_is_none() -> None:
    window = (50.0, 50.0, 350.0, 140.0)  # 45 pixels high in the whole view
    assert merged([], [(window, 0.9)], []) == []
    small = (50.0, 50.0, 350.0, 122.0)  # 36 there: the whole view may miss it
    assert merged([], [(small, 0.9)], []) == [(small, 0.9)]
    # The whole view shows something there, if not as clearly, or only a part of it.
    assert merged([((60.0, 55.0, 340.0, 118.0), 0.35)], [(window, 0.9)], []) == [(window, 0.9)]
    assert merged([((60.0, 55.0, 140.0, 110.0), 0.35)], [(window, 0.9)], []) == [(window, 0.9)]


def test_what_lies_at_the_pictures_own_border_is_whole() -> None:
    border, larger = (0.0, 100.0, 60.0, 130.0), (0.0, 90.0, 130.0, 140.0)
    assert merged([(larger, 0.3)], [(border, 0.9)], []) == [(border, 0.9), (larger, 0.3)]


def test_a_few_pixels_beside_a_cut_side_count_as_cut() -> None:
    """A detection may end a little before the side at which the tile cuts its plate."""
    right = [((400.0, 50.0, 600.0 - gap, 70.0), 1.0) for gap in (0, 5, 7)]
    assert is_cut(seen(LEFT, *right).quads, LEFT).tolist() == [True, True, False]
    part, plate = (530.0, 100.0, 595.0, 130.0), (530.0, 100.0, 680.0, 130.0)
    assert merged([], [(part, 0.9)], [(plate, 0.4)]) == [(plate, 0.4)]


def test_only_inner_sides_cut() -> None:
    quads = seen(
        LEFT, ((0, 0, 50, 20), 1), ((560, 50, 598, 70), 1), ((300, 380, 350, 400), 1)
    ).quads
    assert is_cut(quads, LEFT).tolist() == [False, True, False]
    everywhere = View(BLANK, (1.0, 1.0), (0, 0), (True, True, True, True))
    assert is_cut(quads, everywhere).tolist() == [True, True, True]


BOXES = st.tuples(st.integers(0, 520), st.integers(0, 350), st.integers(8, 200), st.integers(6, 60))
PLATES = st.lists(st.tuples(BOXES, st.floats(0.05, 0.99)), max_size=6)


@given(PLATES, PLATES, PLATES)
def test_nothing_goes_but_what_another_covers(
    whole: list[tuple[Box, float]],
    left: list[tuple[Box, float]],
    right: list[tuple[Box, float]],
) -> None:
    """Each detection that is dropped lies for the most part under one that stays."""
    results = []
    for view, some in zip(VIEWS, (whole, left, right), strict=True):
        boxes = [((x, y, x + w, y + h), score) for (x, y, w, h), score in some]
        raw = seen(LEFT, *boxes)
        quads = raw.quads * np.float32(0.5 if view is WHOLE else 1)
        results.append(Detections.exact(quads, raw.scores))
    found = merge(VIEWS, results)
    assert (np.diff(found.scores) <= 0).all()
    for view, result in zip(VIEWS, results, strict=True):
        for single in merge([view], [result]).quads:
            shares = [shared_part(single, kept) for kept in found.quads]
            assert max(shares) > SAME_PLATE_IOU / 2
