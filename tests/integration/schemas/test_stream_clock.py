"""Ids of the stream that are ahead of the server's clock: what is queued is not taken for lost."""

import pytest
from redis.asyncio import Redis

from schemas.contract.errors import ImageErrorCode
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import ImageFailure
from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.task_store import BeginAnswer, FinishAnswer, TaskStore
from tests.integration.schemas.steps import KEYS, failure, messages, result, take

pytestmark = pytest.mark.integration

AHEAD_MS = 600_000


async def now_ms(redis: Redis) -> int:
    seconds, microseconds = await redis.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


async def get_ahead(redis: Redis) -> int:
    """Add an entry from the future, as a clock that was set back or a publisher may leave one."""
    ahead = await now_ms(redis) + AHEAD_MS
    await redis.xadd(KEYS.images, {"v": "1", "task_id": "other"}, id=f"{ahead}-0")
    return ahead


async def assert_nothing_is_missed(redis: Redis, store: TaskStore, task_id: str) -> None:
    before = await store.backlog()
    assert await store.restore(task_id, silent_ms=0) == 0
    assert await store.expire(task_id, timeout_ms=0) == "queued"
    assert await store.backlog() == before


async def test_task_under_way_is_neither_restored_nor_expired(
    redis: Redis, store: TaskStore
) -> None:
    await get_ahead(redis)
    await store.submit("t1", messages("t1", 3), max_backlog=9)
    await assert_nothing_is_missed(redis, store, "t1")
    [first] = await redis.xrange(KEYS.images, count=1)
    await redis.xreadgroup(WORKERS_GROUP, "c1", {KEYS.images: ">"}, count=1)
    await redis.xdel(KEYS.images, first[0])
    (e0, m0), (e1, m1), _ = await take(redis)
    assert await store.begin(e0, m0) is BeginAnswer.RUN
    await assert_nothing_is_missed(redis, store, "t1")
    assert await store.finish(e0, m0, result(m0), {}) is FinishAnswer.WRITTEN
    await assert_nothing_is_missed(redis, store, "t1")
    answer = await store.dead_letter(e1, reason="x", task_id="t1", failure=failure(m1), total=3)
    assert answer is FinishAnswer.WRITTEN
    await assert_nothing_is_missed(redis, store, "t1")


async def test_images_of_a_direct_publisher_are_waited_for(redis: Redis, store: TaskStore) -> None:
    await get_ahead(redis)
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
    await assert_nothing_is_missed(redis, store, "d1")
    assert await store.begin(second.decode(), m1) is BeginAnswer.RUN
    await assert_nothing_is_missed(redis, store, "d1")


async def test_task_times_out_by_the_clock_whatever_the_ids_say(
    redis: Redis, store: TaskStore
) -> None:
    await get_ahead(redis)
    await store.submit("t1", messages("t1", 2), max_backlog=9)
    active = await redis.zscore(KEYS.open_tasks, "t1")
    assert active is not None
    assert active <= await now_ms(redis), "the sweeper must come to see it"
    await redis.xtrim(KEYS.images, maxlen=0, approximate=False)
    assert await store.expire("t1", timeout_ms=0) == "failed"


async def test_lost_stream_is_restored_once_though_its_ids_were_ahead(
    redis: Redis, store: TaskStore
) -> None:
    await get_ahead(redis)
    await store.submit("t1", messages("t1", 2), max_backlog=9)
    await redis.delete(KEYS.images)
    await redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    assert await store.restore("t1", silent_ms=0) == 2
    await assert_nothing_is_missed(redis, store, "t1")
    newest = await redis.hget(KEYS.task("t1"), "newest_added_ms")
    assert newest is not None
    assert int(newest) <= await now_ms(redis), "what was newer is gone"
    await redis.delete(KEYS.images)
    await redis.xadd(KEYS.images, {"v": "1", "task_id": "later"}, id=f"{int(newest) + 1}-0")
    await redis.zadd(KEYS.open_tasks, {"t1": int(newest)})
    assert await store.restore("t1", silent_ms=0) == 2


async def test_activity_never_goes_back(redis: Redis, store: TaskStore) -> None:
    """A failover to a server whose clock is behind: entries nobody has seen yet are older than the
    last activity only by the old clock."""
    message = ImageMessage(task_id="d1", index=0, total=2, object="d1/input/0")
    entry = await redis.xadd(KEYS.images, message.to_fields())  # type: ignore[arg-type]
    assert await store.begin(entry.decode(), message) is BeginAnswer.RUN
    ahead = await now_ms(redis) + AHEAD_MS
    await redis.zadd(KEYS.open_tasks, {"d1": ahead})
    assert await store.begin(entry.decode(), message) is BeginAnswer.RUN
    assert await redis.zscore(KEYS.open_tasks, "d1") == ahead
    assert await store.finish(entry.decode(), message, result(message), {}) is FinishAnswer.WRITTEN
    assert await redis.zscore(KEYS.open_tasks, "d1") == ahead
