"""Steps for entries and tasks that are abandoned, idle, dead-lettered or deleted."""

from typing import Any

import pytest
from redis.asyncio import Redis

from schemas.contract.errors import ImageErrorCode
from schemas.contract.tasks import ImageFailure, TaskStatus
from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.results import BeginResult, FinishResult
from schemas.redis.scripts import Scripts
from schemas.redis.task_store import TaskStore
from tests.integration.schemas.steps import KEYS, TTL_MS, failure, messages, result, take

pytestmark = pytest.mark.integration


async def test_renew_keeps_only_what_is_owned(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    entries = [entry for entry, _ in await take(redis, "c1")]
    assert await store.renew("c1", entries) == []
    await redis.xclaim(KEYS.images, WORKERS_GROUP, "c2", 0, [entries[0]])
    assert await store.renew("c1", entries) == [entries[0]]
    rows: Any = await redis.xpending_range(KEYS.images, WORKERS_GROUP, "-", "+", 10)
    assert [row["times_delivered"] for row in rows] == [2, 1], (
        "a renewal must not count as a delivery"
    )
    await redis.xack(KEYS.images, WORKERS_GROUP, entries[1])
    assert await store.renew("c1", entries) == [entries[0]], "a settled entry is not lost"


async def test_dead_letter_fails_its_image_once(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 1), max_backlog=10)
    [(entry, message)] = await take(redis)

    async def dead_letter() -> FinishResult:
        return await store.dead_letter(
            entry, reason="too_many_deliveries", task_id="t1", total=1,
            failure=failure(message), metadata={"deliveries": 4},
        )  # fmt: skip

    assert await dead_letter() is FinishResult.FAILED
    assert await dead_letter() is FinishResult.SETTLED
    letters: Any = await redis.xrange(KEYS.dead_letters)
    assert len(letters) == 1
    assert letters[0][1][b"reason"] == b"too_many_deliveries"
    assert await redis.xlen(KEYS.events) == 1
    assert await store.backlog() == 0


async def test_a_dead_letter_creates_and_fails_an_unknown_task(
    redis: Redis, store: TaskStore
) -> None:
    entry = (await redis.xadd(KEYS.images, {"v": "1", "task_id": "d1"})).decode()
    await take_raw(redis)
    lost = ImageFailure(
        index=0, filename=None, code=ImageErrorCode.INVALID_MESSAGE, detail="no image"
    )
    done = await store.dead_letter(entry, reason="invalid", task_id="d1", failure=lost)
    assert done is FinishResult.FAILED
    state = await store.state("d1")
    assert state is not None
    assert state.errors == [lost]


async def take_raw(redis: Redis) -> None:
    await redis.xreadgroup(WORKERS_GROUP, "c1", {KEYS.images: ">"}, count=100)


async def test_expire_waits_for_the_timeout_and_for_the_queue(
    redis: Redis, store: TaskStore
) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    assert await store.expire("t1", timeout_ms=60_000) == "active"
    assert await store.expire("t1", timeout_ms=0) == "queued"
    await redis.xtrim(KEYS.images, maxlen=0, approximate=False)
    assert await store.expire("t1", timeout_ms=0) == "failed"
    assert await store.expire("t1", timeout_ms=0) == "closed"
    state = await store.state("t1")
    assert state is not None
    assert [error.code for error in state.errors] == [ImageErrorCode.TIMED_OUT] * 2
    [(_, event)] = await redis.xrange(KEYS.events)
    assert event[b"payload"].decode() == state.model_dump_json()


async def test_delete_leaves_a_tombstone(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    (e0, m0), (e1, m1) = await take(redis)
    await store.begin(e0, m0)
    await store.finish(e0, m0, result(m0), {})
    assert await store.delete("t1")
    assert await store.delete("t1")
    assert not await store.delete("t2")
    assert await store.begin(e1, m1) is BeginResult.GONE
    assert await store.finish(e1, m1, result(m1), {}) is FinishResult.GONE
    state = await store.state("t1")
    assert state is not None
    assert (state.status, state.results) == (TaskStatus.FAILED, [])
    assert await redis.xlen(KEYS.events) == 1
    assert await store.backlog() == 0
    assert 0 < await redis.pttl(KEYS.task("t1")) <= TTL_MS


async def test_reap_never_strands_pending_entries(redis: Redis, store: TaskStore) -> None:
    scripts = Scripts(redis, KEYS)
    await store.submit("t1", messages("t1", 1), max_backlog=10)
    await take(redis, "holds")
    await redis.xreadgroup(WORKERS_GROUP, "idle", {KEYS.images: ">"})
    assert await scripts.reap(KEYS.images, WORKERS_GROUP, min_idle_ms=60_000) == []
    reaped = await scripts.reap(KEYS.images, WORKERS_GROUP, min_idle_ms=0)
    assert "holds" not in reaped
    assert await scripts.reap("{plates}:none", WORKERS_GROUP, min_idle_ms=0) == []


async def test_failed_attempts_of_an_image(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    (e0, m0), (e1, m1) = await take(redis)
    assert await store.failed_attempts(e0, m0, 1) == 0
    for delivery in (2, 2, 3):  # the second call repeats the first
        await store.start_attempt(e0, m0, delivery)
    assert await store.failed_attempts(e0, m0, 3) == 2
    assert await store.failed_attempts(e0, m0, 2) == 1, (
        "the third belongs to another worker and is in progress"
    )
    assert await store.failed_attempts(e1, m1, 3) == 0
    await store.start_attempt("9-9", m0, 3)  # the restored entry
    assert await store.failed_attempts("9-9", m0, 3) == 3
    await store.clear_attempts(m0)
    assert await store.failed_attempts(e0, m0, 3) == 0
    await store.start_attempt(e0, m0, 4)
    await store.finish(e0, m0, result(m0), {})
    assert await store.failed_attempts(e0, m0, 4) == 0, "an outcome removes the attempts"


async def test_an_attempt_creates_no_task(redis: Redis, store: TaskStore) -> None:
    await store.start_attempt("1-1", messages("t1", 1)[0], 2)
    assert not await redis.exists(KEYS.task("t1"))
