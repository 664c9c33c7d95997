"""Entries with repeated or very many fields are dead-lettered and restored like others."""

import pytest
from redis.asyncio import Redis

from schemas.contract.errors import ImageErrorCode
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import ImageFailure
from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.results import BeginResult, FinishResult
from schemas.redis.task_store import TaskStore
from tests.integration.schemas.steps import KEYS, messages, take

pytestmark = pytest.mark.integration

MANY = 20_000
"""More than Lua can pass to one call."""


async def add(redis: Redis, *flat: str | bytes | int) -> str:
    entry: bytes = await redis.execute_command("XADD", KEYS.images, "*", *flat)
    await redis.xreadgroup(WORKERS_GROUP, "c1", {KEYS.images: ">"})
    return entry.decode()


@pytest.mark.parametrize("names", [["filename"] * MANY, [f"f{i}" for i in range(MANY)]])
async def test_entry_of_very_many_fields_is_dead_lettered(
    redis: Redis, store: TaskStore, names: list[str]
) -> None:
    unknown = [part for at, name in enumerate(names) for part in (name, f"{at}.jpg")]
    entry = await add(redis, "v", 1, "task_id", "d1", *unknown)
    lost = ImageFailure(index=0, filename=None, code=ImageErrorCode.INVALID_MESSAGE, detail="no")
    done = await store.dead_letter(entry, reason="invalid_message", task_id="d1", failure=lost)
    assert done is FinishResult.FAILED
    assert await store.backlog() == 0
    [(_, letter)] = await redis.xrange(KEYS.dead_letters)
    last = f"{MANY - 1}.jpg".encode() if names[0] == "filename" else None
    assert letter.get(b"filename") == last, "clients see the last value of a repeated name"
    assert len(letter) <= 10


async def test_a_letter_describes_the_last_image(redis: Redis, store: TaskStore) -> None:
    entry = await add(redis, "image", b"first", "image", b"second!", "index", 0, "index", 7)
    await store.dead_letter(entry, reason="invalid_message")
    # A script's result, since a client would hide a repeated name.
    dump = "return cjson.encode(redis.call('XRANGE', KEYS[1], '-', '+'))"
    letter = str(await redis.eval(dump, 1, KEYS.dead_letters))  # type: ignore[misc]
    assert letter.count("image_bytes") == letter.count('"index"') == 1
    assert '"image_bytes","7"' in letter
    assert '"index","7"' in letter
    assert "second!" not in letter


async def test_unknown_fields_are_not_restored(redis: Redis, store: TaskStore) -> None:
    whole = ImageMessage(
        task_id="d1", index=1, total=2, filename="авто.jpg", output="covered_a.webp",
        object="d1/input/1", traceparent="00-1-2-3",
    )  # fmt: skip
    fields = [part for pair in whole.to_fields().items() for part in pair]
    unknown = [part for at in range(MANY) for part in (f"f{at}", "x")]
    entry = await add(redis, *unknown, "index", 0, *fields)
    assert await store.begin(entry, whole) is BeginResult.RUN
    await lose_stream(redis)
    assert await store.restore("d1", min_idle_ms=0) == 1
    assert [message for _, message in await take(redis)] == [whole]


async def test_an_entry_stored_by_an_older_version_is_restored(
    redis: Redis, store: TaskStore
) -> None:
    """Older versions stored all fields of an entry, without its id."""
    await store.submit("t1", messages("t1", 1), max_backlog=9)
    unknown = ",".join(f'"f{at}","x"' for at in range(MANY))
    contract = '"v","1","task_id","t1","object","t1/input/0"'
    await redis.hset(KEYS.task("t1"), "entry:0", f"[{unknown},{contract}]")
    await lose_stream(redis)
    assert await store.restore("t1", min_idle_ms=0) == 1
    assert [message.object for _, message in await take(redis)] == ["t1/input/0"]


async def test_an_index_with_leading_zeros_is_restored(redis: Redis, store: TaskStore) -> None:
    entry = await add(redis, "v", 1, "task_id", "d1", "index", "00", "object", "d1/input/0")
    message = ImageMessage(task_id="d1", object="d1/input/0")
    assert await store.begin(entry, message) is BeginResult.RUN
    await lose_stream(redis)
    assert await store.restore("d1", min_idle_ms=0) == 1


async def lose_stream(redis: Redis) -> None:
    await redis.delete(KEYS.images)
    await redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
