"""The stream contract for outside publishers."""

import pytest
from pydantic import ValidationError

from schemas.contract.messages import (
    MAX_TOTAL,
    ContractError,
    ContractLimits,
    ErrorTarget,
    ImageMessage,
    error_target,
)
from schemas.settings.base import Settings

LIMITS = ContractLimits(max_total=50, inline_max_bytes=100)
VALID = {b"v": b"1", b"task_id": b"t-1", b"object": b"t-1/input/0"}


def read(fields: dict[bytes, bytes]) -> ImageMessage:
    return ImageMessage.from_fields(fields, LIMITS)


def test_one_xadd_needs_three_fields() -> None:
    message = read({b"v": b"1", b"task_id": b"t-1", b"image": b"\xff\xd8raw"})
    assert (message.index, message.total, message.output_name) == (0, None, "covered_image.webp")
    assert message.image == b"\xff\xd8raw"


def test_unknown_fields_are_ignored() -> None:
    assert read({**VALID, b"colour": b"\xff"}) == read(VALID)


def test_default_output_names() -> None:
    named = {**VALID, b"filename": "../авто.jpg".encode()}
    assert read(named).output_name == "covered_авто.webp"
    assert read({**named, b"index": b"3", b"total": b"5"}).output_name == "covered_авто_3.webp"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({b"v": b"2"}, "v: unknown version"),
        ({b"v": None}, "v: missing"),
        ({b"task_id": b"../x"}, "task_id"),
        ({b"task_id": b"x" * 65}, "task_id"),
        ({b"task_id": None}, "task_id"),
        ({b"index": b"-1"}, "index"),
        ({b"index": b"one"}, "index"),
        ({b"index": b"5", b"total": b"5"}, "index must be below total"),
        ({b"total": b"1001"}, "total: more than 1000"),
        ({b"total": b"0"}, "total"),
        ({b"object": None}, "exactly one"),
        ({b"image": b"x"}, "exactly one"),
        ({b"object": None, b"image": b"x" * 101}, "image: more than 100 bytes"),
        ({b"object": b"other/input/0"}, "object"),
        ({b"object": b"t-1/output/0"}, "object"),
        ({b"object": b"t-1/input/../../other/input/0"}, "object"),
        ({b"object": b"t-1/input/.."}, "object"),
        ({b"object": b"t-1/input/"}, "object"),
        ({b"object": b"t-1/input/car#1"}, "object"),
        ({b"index": b"+1"}, "index"),
        ({b"index": b"1.0", b"total": b"2"}, "index"),
        ({b"output": b"a/b.webp"}, "output"),
        ({b"output": b"../b.webp"}, "output"),
        ({b"output": b"b.jpg"}, "output"),
        ({b"filename": b"\xff\xfe"}, "not UTF-8"),
        ({b"traceparent": b"x" * 129}, "traceparent"),
    ],
)
def test_the_error_says_how_the_contract_is_broken(
    change: dict[bytes, bytes | None], reason: str
) -> None:
    fields = {k: v for k, v in {**VALID, **change}.items() if v is not None}
    with pytest.raises(ContractError, match=reason):
        read(fields)


@pytest.mark.parametrize(
    ("output", "stored"),
    [
        ("a.webp", "a.webp"),
        ("Кот, 'a' & #1+2=3.webp", "Кот, 'a' & #1+2=3.webp"),
        ('a;b"c.webp', "a_b_c.webp"),
        ("a%22b.webp", "a_22b.webp"),
        ("<a>:|?*.webp", "_a_____.webp"),
        ("\ufeffa.webp", "_a.webp"),
    ],
)
def test_an_output_is_stored_under_a_name_that_receivers_read(output: str, stored: str) -> None:
    message = read({**VALID, b"output": output.encode()})
    assert (message.asked_output, message.output_name) == (output, stored)


@pytest.mark.parametrize(
    "output", ["a\nb.webp", "a\u202eb.webp", "a\\b.webp", " a.webp", "a/b.webp"]
)
def test_an_output_that_is_no_plain_name_is_refused(output: str) -> None:
    with pytest.raises(ContractError, match="output"):
        read({**VALID, b"output": output.encode()})


def test_identity_differs_with_the_content() -> None:
    inline = {b"v": b"1", b"task_id": b"t-1"}
    one, same, other = (read({**inline, b"image": image}).identity for image in (b"a", b"a", b"b"))
    assert one == same != other
    assert read(VALID).identity == "object:t-1/input/0"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({b"v": b"1", b"task_id": b"t", b"index": b"2", b"total": b"3"}, ErrorTarget("t", 2, 3)),
        ({b"v": b"1", b"task_id": b"t"}, ErrorTarget("t", 0, None)),
        ({b"v": b"2", b"task_id": b"t"}, None),
        ({b"v": b"1", b"task_id": b"t", b"index": b"3", b"total": b"3"}, None),
        ({b"v": b"1", b"task_id": b"t", b"index": b"x"}, None),
        ({b"v": b"1", b"task_id": b"a/b"}, None),
        ({b"v": b"1", b"task_id": b"t", b"total": b"51"}, ErrorTarget("t", 0, 51)),
        ({b"v": b"1", b"task_id": b"t", b"total": b"1001"}, None),
    ],
)
def test_the_image_that_an_invalid_entry_fails(
    fields: dict[bytes, bytes], expected: object
) -> None:
    assert error_target(fields) == expected


def test_a_lowered_limit_does_not_make_an_entry_unreadable() -> None:
    assert read({**VALID, b"index": b"50", b"total": b"51"}).total == 51


def test_no_setting_allows_more_images_than_an_entry() -> None:
    settings = Settings(_env_file=None, max_files_per_request=MAX_TOTAL)
    assert settings.max_files_per_request == MAX_TOTAL
    with pytest.raises(ValidationError):
        Settings(_env_file=None, max_files_per_request=MAX_TOTAL + 1)
