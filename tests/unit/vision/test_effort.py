"""The encoder's effort fits the moment, and memory is planned for the most it may take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.vision.effort import highest_method, method_for

SIDES = st.integers(1, 16383)
QUALITIES = st.integers(1, 100)


@given(st.integers(0, 6), SIDES, SIDES, QUALITIES, st.booleans())
def test_a_number_is_what_it_says(
    method: int, height: int, width: int, quality: int, backlog: bool
) -> None:
    chosen = method_for(method, height, width, quality=quality, backlog=backlog)
    assert chosen == method == highest_method(method)


@pytest.mark.parametrize(
    ("height", "width", "quality", "backlog", "expected"),
    [
        (1080, 1920, 90, True, 0),
        (1080, 1920, 90, False, 2),
        (3024, 4032, 90, True, 0),
        (3024, 4032, 90, False, 2),
        (4000, 6000, 90, True, 2),
        (1080, 1920, 89, True, 0),
        (1080, 1920, 88, True, 2),
        (1080, 1920, 98, True, 0),
        (1080, 1920, 100, False, 2),
    ],
)
def test_auto_is_fast_only_while_others_wait_and_files_need_not_be_small(
    height: int, width: int, quality: int, backlog: bool, expected: int
) -> None:
    assert method_for("auto", height, width, quality=quality, backlog=backlog) == expected


@given(SIDES, SIDES, QUALITIES, st.booleans())
def test_auto_never_takes_more_than_was_planned_for(
    h: int, w: int, quality: int, backlog: bool
) -> None:
    assert method_for("auto", h, w, quality=quality, backlog=backlog) <= highest_method("auto")
