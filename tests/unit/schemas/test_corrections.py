"""Covers that people draw."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.contract.corrections import MAX_COVERS, CorrectionMessage, CoversToAdd
from schemas.contract.messages import ContractError

SQUARE = [[10, 10], [40, 10], [40, 20], [10, 20]]
COORDINATE = st.floats(-100, 100, width=32)


def quads(*covers: object) -> tuple[object, ...]:
    return CoversToAdd.model_validate({"covers": covers}).covers


def test_corners_become_clockwise_and_the_first_stays() -> None:
    clockwise = ((10.0, 10.0), (40.0, 10.0), (40.0, 20.0), (10.0, 20.0))
    assert quads(SQUARE) == (clockwise,)
    assert quads([SQUARE[0], SQUARE[3], SQUARE[2], SQUARE[1]]) == (clockwise,)
    assert quads(SQUARE[2:] + SQUARE[:2]) == (clockwise[2:] + clockwise[:2],)


@pytest.mark.parametrize(
    "quad",
    [
        [[0, 0], [9, 9], [9, 0], [0, 9]],  # its sides cross
        [[0, 0], [9, 0], [3, 3], [0, 9]],  # not convex
        [[0, 0], [4, 0], [9, 0], [9, 9]],  # three corners in a line
        [[0, 0], [0, 0], [9, 0], [9, 9]],
        [[5, 5]] * 4,
        [[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]],
        SQUARE[:3],
        [*SQUARE, [0, 15]],
        [[1e9, 0], [40, 10], [40, 20], [10, 20]],
        [["NaN", 10], [40, 10], [40, 20], [10, 20]],
        [[float("inf"), 10], [40, 10], [40, 20], [10, 20]],
    ],
)
def test_unusable_quads_are_refused(quad: list[list[float]]) -> None:
    with pytest.raises(ValidationError):
        quads(quad)


@pytest.mark.parametrize("count", [0, MAX_COVERS + 1])
def test_the_number_of_covers_is_limited(count: int) -> None:
    with pytest.raises(ValidationError):
        quads(*[SQUARE] * count)


@given(st.lists(st.tuples(COORDINATE, COORDINATE), min_size=4, max_size=4))
def test_what_is_accepted_is_accepted_again_unchanged(quad: list[tuple[float, float]]) -> None:
    try:
        accepted = quads(quad)
    except ValidationError:
        return
    assert quads(*accepted) == accepted


@pytest.mark.parametrize(
    "fields",
    [{}, {b"v": b"2", b"task_id": b"t"}, {b"v": b"1", b"task_id": b"?"},
     {b"v": b"1", b"task_id": b"t", b"index": b"-1"}],
)  # fmt: skip
def test_an_entry_that_names_no_result_breaks_the_contract(fields: dict[bytes, bytes]) -> None:
    with pytest.raises(ContractError):
        CorrectionMessage.from_fields(fields)
