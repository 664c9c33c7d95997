"""Entry ids that are ahead of the server's clock: queued entries are not taken for lost."""

import pytest
from redis.asyncio import Redis

from schemas.contract.errors import ImageErrorCode
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import ImageFailure
from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.results import BeginResult, FinishResult
from schemas.redis.task_store import TaskStore
from tests.integration.schemas.steps import KEYS, failure, messages, result, take

pytestmark = pytest.mark.integration

AHEAD_MS = 600_000


async def now_ms(redis: Redis) -> int:
    seconds, microseconds = await redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


async def add_future_entry(redis: Redis) -> int:
    """Add an entry with a future id, as after a clock was set back."""
    ahead = await now_ms(redis) + AHEAD_MS
    await redis.xadd(KEYS.images, {"v": "1", "task_id": "other"}, id=f"{ahead}-0")
    return ahead


async def assert_all_are_queued(redis: Redis, store: TaskStore, task_id: str) -> None:
    before = await store.backlog()
    assert await store.restore(task_id, min_idle_ms=0) == 0
    assert await store.expire(task_id, timeout_ms=0) == "queued"
    assert await store.backlog() == before


async def test_a_task_in_progress_is_neither_restored_nor_expired(
    redis: Redis, store: TaskStore
) -> None:
    await add_future_entry(redis)
    await store.submit("t1", messages("t1", 3), max_backlog=9)
    await assert_all_are_queued(redis, store, "t1")
    [first] = await redis.xrange(KEYS.images, count=1)
    await redis.xreadgroup(WORKERS_GROUP, "c1", {KEYS.images: ">"}, count=1)
    await redis.xdel(KEYS.images, first[0])
    (e0, m0), (e1, m1), _ = await take(redis)
    assert await store.begin(e0, m0) is BeginResult.RUN
    await assert_all_are_queued(redis, store, "t1")
    assert await store.finish(e0, m0, result(m0), {}) is FinishResult.WRITTEN
    await assert_all_are_queued(redis, store, "t1")
    outcome = await store.dead_letter(e1, reason="x", task_id="t1", failure=failure(m1), total=3)
    assert outcome is FinishResult.WRITTEN
    await assert_all_are_queued(redis, store, "t1")


async def test_images_of_an_outside_publisher_are_waited_for(
    redis: Redis, store: TaskStore
) -> None:
    await add_future_entry(redis)
    for message in messages("d1", 3):
        await redis.xadd(KEYS.images, message.to_fields())  # type: ignore[arg-type]
    rows = await redis.xrange(KEYS.images)
    for entry, _ in rows[:1]:
        await redis.xdel(KEYS.images, entry)
    (first, _), (second, _), _ = rows[1:]
    m0, m1, _ = messages("d1", 3)
    lost = ImageFailure(index=0, filename=None, code=ImageErrorCode.INVALID_MESSAGE, detail="no")
    await store.dead_letter(first.decode(), reason="x", task_id="d1", failure=lost, total=3)
    assert m0.index == lost.index
    await assert_all_are_queued(redis, store, "d1")
    assert await store.begin(second.decode(), m1) is BeginResult.RUN
    await assert_all_are_queued(redis, store, "d1")


async def test_a_task_times_out_by_the_clock_not_by_ids(redis: Redis, store: TaskStore) -> None:
    await add_future_entry(redis)
    await store.submit("t1", messages("t1", 2), max_backlog=9)
    active = await redis.zscore(KEYS.open_tasks, "t1")
    assert active is not None
    assert active <= await now_ms(redis), "otherwise the sweeper would skip it"
    await redis.xtrim(KEYS.images, maxlen=0, approximate=False)
    assert await store.expire("t1", timeout_ms=0) == "failed"


async def test_a_lost_stream_with_future_ids_is_restored_once(
    redis: Redis, store: TaskStore
) -> None:
    await add_future_entry(redis)
    await store.submit("t1", messages("t1", 2), max_backlog=9)
    await redis.delete(KEYS.images)
    await redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    assert await store.restore("t1", min_idle_ms=0) == 2
    await assert_all_are_queued(redis, store, "t1")
    newest = await redis.hget(KEYS.task("t1"), "newest_added_ms")
    assert newest is not None
    assert int(newest) <= await now_ms(redis), "the newer entries are gone"
    await redis.delete(KEYS.images)
    await redis.xadd(KEYS.images, {"v": "1", "task_id": "later"}, id=f"{int(newest) + 1}-0")
    await redis.zadd(KEYS.open_tasks, {"t1": int(newest)})
    assert await store.restore("t1", min_idle_ms=0) == 2


async def test_activity_never_goes_back(redis: Redis, store: TaskStore) -> None:
    """After a failover to a server whose clock is behind."""
    message = ImageMessage(task_id="d1", index=0, total=2, object="d1/input/0")
    entry = await redis.xadd(KEYS.images, message.to_fields())  # type: ignore[arg-type]
    assert await store.begin(entry.decode(), message) is BeginResult.RUN
    ahead = await now_ms(redis) + AHEAD_MS
    await redis.zadd(KEYS.open_tasks, {"d1": ahead})
    assert await store.begin(entry.decode(), message) is BeginResult.RUN
    assert await redis.zscore(KEYS.open_tasks, "d1") == ahead
    assert await store.finish(entry.decode(), message, result(message), {}) is FinishResult.WRITTEN
    assert await redis.zscore(KEYS.open_tasks, "d1") == ahead
