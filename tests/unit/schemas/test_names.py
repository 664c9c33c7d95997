"""Cleaned names stay in their folder and stay readable."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.contract.names import (
    MAX_NAME_BYTES,
    base_name,
    default_output_name,
    distinct_output_name,
    portable_name,
    result_url,
    unique_output_names,
)


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("car.jpg", "car.jpg"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("..", "image"),
        ("", "image"),
        ("a\x00b\n.png", "ab.png"),
        ("\u202egpj.exe", "gpj.exe"),
        ("машина №1.jpg", "машина №1.jpg"),
        ("🚗.webp", "🚗.webp"),
    ],
)
def test_base_name(given_name: str, kept: str) -> None:
    assert base_name(given_name) == kept


@given(st.text(max_size=400))
def test_any_name_is_one_safe_component(name: str) -> None:
    for safe in (base_name(name), default_output_name(name, 0, 1), default_output_name(name, 7, 9)):
        assert safe not in ("", ".", "..")
        assert "/" not in safe
        assert "\\" not in safe
        assert safe.isprintable() or all(ord(c) >= 32 for c in safe)
        assert len(safe.encode()) <= MAX_NAME_BYTES


@given(st.text(max_size=60))
def test_sanitising_twice_changes_nothing(name: str) -> None:
    assert base_name(base_name(name)) == base_name(name)
    output = default_output_name(name, 0, 1)
    assert base_name(output) == output


MISREAD = '"\\;%<>:|?*\ufeff\u202e\u200f\x7f\x01\t\r\n\u0085\u2028'


@given(st.text(st.sampled_from("abж.%2 /" + MISREAD), max_size=40))
def test_no_result_name_contains_misread_characters(name: str) -> None:
    for result in (*unique_output_names([name]), default_output_name(name, 3, 5)):
        assert not set(result) & set(MISREAD)
        assert portable_name(result) == result


@pytest.mark.parametrize(
    "kept", ["a b", "ж", "a'b", "a&b", "a#b", "a+b", "a=b", "a,b", "a..b", "👨‍👩‍👧"]
)
def test_other_characters_are_kept(kept: str) -> None:
    assert unique_output_names([f"{kept}.jpg"]) == [f"covered_{kept}.webp"]


@pytest.mark.parametrize(
    ("chosen", "result"),
    [
        ("Screenshot at 3\u202fPM.png", "covered_Screenshot at 3_PM.webp"),
        ("a\u00a0b.jpg", "covered_a_b.webp"),
        ("a\u200bb\u00adc\ufeff.jpg", "covered_a_b_c_.webp"),
        ("a&amp;b.jpg", "covered_a_amp_b.webp"),
        ("a&copy.jpg", "covered_a_copy.webp"),
        ("R&D.jpg", "covered_R&D.webp"),
    ],
)
def test_characters_that_receivers_drop_or_replace_become_underscores(
    chosen: str, result: str
) -> None:
    assert unique_output_names([chosen]) == [result]


def test_names_that_become_equal_are_numbered() -> None:
    assert unique_output_names(["a;b.jpg", "a_b.jpg", "A%B.png"]) == [
        "covered_a_b.webp", "covered_a_b_2.webp", "covered_A_B_3.webp",
    ]  # fmt: skip


@given(st.text(max_size=300), st.integers(0, 999))
def test_a_distinct_name_is_a_valid_name(stem: str, index: int) -> None:
    distinct = distinct_output_name(default_output_name(stem, 0, 1), index)
    assert distinct == portable_name(base_name(distinct))
    assert distinct.endswith(f"_{index}.webp")


def test_equal_stems_are_numbered() -> None:
    names = unique_output_names(["a.jpg", "a.png", "A.webp", "b.jpg", "a_2.jpg"])
    assert names[:2] == ["covered_a.webp", "covered_a_2.webp"]
    assert len({name.casefold() for name in names}) == 5


@given(st.lists(st.text(max_size=8), min_size=1, max_size=50))
def test_outputs_of_a_request_never_collide(names: list[str]) -> None:
    outputs = unique_output_names(names)
    assert len({output.casefold() for output in outputs}) == len(names)
    assert all(base_name(output) == output and output.endswith(".webp") for output in outputs)


def test_url_is_percent_encoded() -> None:
    assert result_url("t", "covered_a b#?%.webp") == (
        "/tasks_storage/t/output/covered_a%20b%23%3F%25.webp"
    )
