"""The encoder's effort fits the moment, and memory is planned for the most it may take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.vision.effort import highest_method, method_for

SIDES = st.integers(1, 16383)


@given(st.integers(0, 6), SIDES, SIDES, st.booleans())
def test_a_number_is_what_it_says(method: int, height: int, width: int, backlog: bool) -> None:
    assert method_for(method, height, width, backlog=backlog) == method == highest_method(method)


@pytest.mark.parametrize(
    ("height", "width", "backlog", "expected"),
    [
        (1080, 1920, True, 0),
        (1080, 1920, False, 2),
        (3024, 4032, True, 0),
        (3024, 4032, False, 2),
        (4000, 6000, True, 2),
    ],
)
def test_auto_is_fast_only_while_others_wait(
    height: int, width: int, backlog: bool, expected: int
) -> None:
    assert method_for("auto", height, width, backlog=backlog) == expected


@given(SIDES, SIDES, st.booleans())
def test_auto_never_takes_more_than_was_planned_for(h: int, w: int, backlog: bool) -> None:
    assert method_for("auto", h, w, backlog=backlog) <= highest_method("auto")
