"""Merging views: a candidate once, whole where any view shows it whole; a plate once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from consumer.vision.detect.obb import Detections
from consumer.vision.views.merge import candidates, distinct, is_cut
from consumer.vision.views.overlap import shared_part
from consumer.vision.views.view import View

Box = tuple[float, float, float, float]
BLANK = np.zeros((400, 600, 3), np.uint8)
# An image of 1000 x 400, whole at half its size and in two tiles that overlap by 200.
WHOLE = View(np.zeros((224, 512, 3), np.uint8), (0.5, 0.5), (6, 12))
LEFT = View(BLANK, (1.0, 1.0), (0, 0), (False, False, True, False))
RIGHT = View(BLANK, (1.0, 1.0), (-400, 0), (True, False, False, False))
VIEWS = (WHOLE, LEFT, RIGHT)


def plates(*boxes: tuple[Box, float]) -> Detections:
    """Level plates given as (left, top, right, bottom) and score."""
    quads = [[(x, y), (x2, y), (x2, y2), (x, y2)] for (x, y, x2, y2), _ in boxes]
    scores = [score for _, score in boxes]
    return Detections(np.array(quads, np.float32).reshape(-1, 4, 2), np.array(scores, np.float32))


def seen(view: View, *boxes: tuple[Box, float]) -> Detections:
    """What a view would show of plates."""
    found = plates(*boxes)
    quads = found.quads * np.float32(view.scale) + np.float32(view.offset)
    return Detections(quads, found.scores)


def listed(found: Detections) -> list[tuple[Box, float]]:
    return [
        ((*map(float, quad[0].round(2)), *map(float, quad[2].round(2))), round(float(score), 3))  # type: ignore[misc]
        for quad, score in zip(found.quads, found.scores, strict=True)
    ]


def merged(*boxes: list[tuple[Box, float]]) -> list[tuple[Box, float]]:
    """The candidates that are left of those that each of VIEWS shows."""
    return listed(
        candidates(VIEWS, [seen(view, *some) for view, some in zip(VIEWS, boxes, strict=True)])
    )


def test_nothing_seen_is_nothing() -> None:
    assert merged([], [], []) == []
    assert listed(distinct(plates())) == []


def test_a_plate_in_three_views_is_one_and_the_best_of_them_stays() -> None:
    box = (450.0, 100.0, 550.0, 130.0)
    near = (452.0, 100.0, 551.0, 130.0)
    assert merged([(near, 0.5)], [(box, 0.9)], [(near, 0.8)]) == [(box, 0.9)]


def test_different_candidates_stay() -> None:
    one, two, three = (
        (10.0, 10.0, 60.0, 30.0),
        (500.0, 50.0, 560.0, 70.0),
        (900.0, 9.0, 960.0, 30.0),
    )
    assert merged([(two, 0.4)], [(one, 0.6)], [(three, 0.9)]) == [
        (three, 0.9), (one, 0.6), (two, 0.4)
    ]  # fmt: skip


def test_a_part_gives_way_to_the_whole_even_if_it_is_more_certain() -> None:
    part, plate = (530.0, 100.0, 600.0, 130.0), (530.0, 100.0, 630.0, 130.0)
    assert merged([], [(part, 0.9)], [(plate, 0.4)]) == [(plate, 0.4)]
    assert merged([(plate, 0.3)], [(part, 0.9)], []) == [(plate, 0.3)]


def test_a_part_stays_if_no_view_shows_the_whole() -> None:
    part = (540.0, 100.0, 600.0, 130.0)
    assert merged([], [(part, 0.9)], []) == [(part, 0.9)]
    other = (300.0, 100.0, 360.0, 130.0)
    assert merged([(other, 0.5)], [(part, 0.9)], []) == [(other, 0.5), (part, 0.9)]


def test_a_candidate_within_a_larger_one_stays_until_the_second_stage_has_seen_both() -> None:
    plate, panel = (100.0, 100.0, 160.0, 115.0), (60.0, 60.0, 300.0, 160.0)
    assert merged([(panel, 0.9)], [(plate, 0.4)], []) == [(panel, 0.9), (plate, 0.4)]
    assert listed(distinct(plates((panel, 0.1), (plate, 0.9)))) == [(plate, 0.9), (panel, 0.1)]
    assert listed(distinct(plates((panel, 0.9), (plate, 0.4)))) == [(panel, 0.9)]


def test_only_inner_sides_cut() -> None:
    quads = seen(
        LEFT, ((0, 0, 50, 20), 1), ((560, 50, 598, 70), 1), ((300, 380, 350, 400), 1)
    ).quads
    assert is_cut(quads, LEFT).tolist() == [False, True, False]
    everywhere = View(BLANK, (1.0, 1.0), (0, 0), (True, True, True, True))
    assert is_cut(quads, everywhere).tolist() == [True, True, True]


def test_a_few_pixels_beside_a_cut_side_count_as_cut() -> None:
    """A detection may end a little before the side at which the tile cuts its plate."""
    right = [((400.0, 50.0, 600.0 - gap, 70.0), 1.0) for gap in (0, 5, 7)]
    assert is_cut(seen(LEFT, *right).quads, LEFT).tolist() == [True, True, False]


BOXES = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h),
    st.integers(0, 520), st.integers(0, 350), st.integers(8, 200), st.integers(6, 60),
)  # fmt: skip
PLATES = st.lists(st.tuples(BOXES, st.floats(0.05, 0.99)), max_size=8)


@given(PLATES)
def test_a_plate_goes_only_if_a_better_one_hides_most_of_it(boxes: list[tuple[Box, float]]) -> None:
    found = plates(*boxes)
    left = distinct(found)
    assert (np.diff(left.scores) <= 0).all()
    for quad, score in zip(found.quads, found.scores, strict=True):
        better = left.quads[left.scores >= score]
        assert max(shared_part(quad, other) for other in better) > 0.39


@given(PLATES, PLATES, PLATES)
def test_no_candidate_goes_without_another_about_there(
    whole: list[tuple[Box, float]],
    left: list[tuple[Box, float]],
    right: list[tuple[Box, float]],
) -> None:
    results = [plates(*some) for some in (whole, left, right)]
    found = candidates(VIEWS, results)
    for view, result in zip(VIEWS, results, strict=True):
        for single in candidates([view], [result]).quads:
            assert max(shared_part(single, kept) for kept in found.quads) > 0.25
