"""The stream contract with generated entries."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.contract.messages import (
    MAX_TOTAL,
    ContractError,
    ContractLimits,
    ImageMessage,
    error_target,
    is_own_object,
)
from schemas.contract.names import base_name

LIMITS = ContractLimits(max_total=50, inline_max_bytes=100)
NAMES = [name.encode() for name in ImageMessage.model_fields]
SECRET = b"PLANTED"

# Close to the contract, where most errors are, and far from it.
VALUES = st.one_of(
    st.binary(max_size=120),
    st.text(max_size=40).map(lambda text: text.encode(errors="surrogatepass")),
    st.integers(-2, 10**7).map(lambda number: str(number).encode()),
    st.sampled_from(
        [b"1", b"0", b"01", b"\xd9\xa3", b" 1", b"1\n", b"t", b"t\n", b"t/input/0", b"t/input/..",
         b"t/input/a/b", b"a.webp", b"../a.webp", b".webp", b"NaN", b"1e1", b"1_0", b"\xff", b""]
    ),
)  # fmt: skip
FIELDS = st.dictionaries(st.sampled_from(NAMES) | st.binary(max_size=12), VALUES, max_size=12)
BASES = st.sampled_from(
    [{}, {b"v": b"1", b"task_id": b"t"}, {b"v": b"1", b"task_id": b"t", b"image": b"x"},
     {b"v": b"1", b"task_id": b"t", b"object": b"t/input/0"}]
)  # fmt: skip


@given(BASES, FIELDS)
def test_every_accepted_message_is_valid(
    base: dict[bytes, bytes], fields: dict[bytes, bytes]
) -> None:
    entry = base | fields
    try:
        message = ImageMessage.from_fields(entry, LIMITS)
    except ContractError:
        return
    assert message.task_id.encode() == entry[b"task_id"]
    assert 0 <= message.index < (message.total or 10**6)
    assert (message.total or 1) <= MAX_TOTAL
    assert (message.object is None) != (message.image is None)
    assert len(message.image or b"") <= LIMITS.inline_max_bytes
    assert message.object is None or is_own_object(message.object, message.task_id)
    assert base_name(message.output_name) == message.output_name
    flat = {name.encode(): value if isinstance(value, bytes) else value.encode()
            for name, value in message.to_fields().items()}  # fmt: skip
    assert ImageMessage.from_fields(flat, LIMITS) == message


@given(BASES, FIELDS)
def test_only_a_certain_image_is_failed_by_an_invalid_entry(
    base: dict[bytes, bytes], fields: dict[bytes, bytes]
) -> None:
    entry = base | fields
    to = error_target(entry)
    if to is None:
        return
    assert entry[b"v"] == b"1"
    assert to.task_id.encode() == entry[b"task_id"]
    assert to.index == int(entry.get(b"index", b"0"))
    assert to.total is None or 0 <= to.index < to.total <= MAX_TOTAL


@given(BASES, st.sampled_from(NAMES), st.binary(max_size=20), st.binary(max_size=20))
def test_a_reason_never_contains_values(
    base: dict[bytes, bytes], name: bytes, before: bytes, after: bytes
) -> None:
    reason = ""
    try:
        ImageMessage.from_fields(base | {name: before + SECRET + after}, LIMITS)
    except ContractError as error:
        reason = str(error)
    assert SECRET.decode() not in reason


@given(st.text(max_size=60), st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True))
def test_no_object_is_outside_its_tasks_inputs(tail: str, task_id: str) -> None:
    for key in (tail, f"{task_id}/input/{tail}", f"{task_id}/{tail}", f"/{task_id}/input/{tail}"):
        if is_own_object(key, task_id):
            assert key.split("/")[:-1] == [task_id, "input"]
            assert key.split("/")[-1] not in ("", ".", "..")
