"""Idempotency keys are held by one upload, and then bound to its task."""

import pytest
from redis.asyncio import Redis

from schemas.redis.results import SubmitResult
from schemas.redis.task_store import Binding, EarlierUse, KeyBusyError, TaskStore
from tests.integration.schemas.steps import KEYS, failure, messages, result, take

pytestmark = pytest.mark.integration


async def test_a_key_is_held_and_then_bound(redis: Redis, store: TaskStore) -> None:
    record = KEYS.idempotency("k")
    assert await store.reserve("k", "one", lease_ms=5000) is None
    assert await store.reserve("k", "one", lease_ms=9000) is None  # a renewal by the same upload
    assert 5000 < await redis.pttl(record) <= 9000
    with pytest.raises(KeyBusyError):
        await store.reserve("k", "two", lease_ms=5000)
    await store.release("k", "two")
    assert await redis.exists(record)

    late = Binding("k", "two", "d2")
    outcome = await store.submit("t2", messages("t2", 1), max_backlog=9, binding=late)
    assert outcome is SubmitResult.LOST
    assert await store.backlog() == 0
    assert await store.state("t2") is None

    binding = Binding("k", "one", "d1")
    for expected in (SubmitResult.ACCEPTED, SubmitResult.EXISTS):
        outcome = await store.submit("t1", messages("t1", 1), max_backlog=9, binding=binding)
        assert outcome is expected
    for token in ("one", "two"):
        assert await store.reserve("k", token, lease_ms=5) == EarlierUse("t1", "d1")
        await store.release("k", token)
    assert await redis.pttl(record) > await redis.pttl(KEYS.task("t1")) > 0


async def test_a_refused_submit_keeps_the_hold(redis: Redis, store: TaskStore) -> None:
    await store.reserve("k", "one", lease_ms=5000)
    binding = Binding("k", "one", "d")
    outcome = await store.submit("t1", messages("t1", 1), max_backlog=0, binding=binding)
    assert outcome is SubmitResult.BACKLOG
    with pytest.raises(KeyBusyError):
        await store.reserve("k", "two", lease_ms=5000)
    await store.release("k", "one")
    assert not await redis.exists(KEYS.idempotency("k"))
    # A submit after the lease is accepted if no other upload has reserved the key.
    outcome = await store.submit("t1", messages("t1", 1), max_backlog=9, binding=binding)
    assert outcome is SubmitResult.ACCEPTED
    assert await store.reserve("k", "two", lease_ms=5) == EarlierUse("t1", "d")


async def test_a_key_outlives_its_open_task(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 1), max_backlog=9, binding=Binding("k", "one", "d"))
    await redis.pexpire(KEYS.idempotency("k"), 1000)
    await redis.pexpire(KEYS.task("t1"), 1000)
    assert await store.expire("t1", timeout_ms=60_000) == "active"
    assert await redis.pttl(KEYS.idempotency("k")) > await redis.pttl(KEYS.task("t1")) > 1000
    await redis.delete(KEYS.task("t1"))
    assert await store.reserve("k", "two", lease_ms=5000) is None


async def test_every_step_extends_the_ttl_of_the_key(redis: Redis, store: TaskStore) -> None:
    record, task, binding = KEYS.idempotency("k"), KEYS.task("t1"), Binding("k", "one", "d")
    await store.submit("t1", messages("t1", 3), max_backlog=9, binding=binding)
    (e0, m0), (e1, m1), (e2, m2) = await take(redis)
    steps = (
        lambda: store.begin(e0, m0),
        lambda: store.finish(e0, m0, result(m0), {}),
        lambda: store.dead_letter(e1, reason="x", task_id="t1", failure=failure(m1), total=3),
        lambda: store.finish(e2, m2, result(m2), {}),  # closes it
    )
    for number, step in enumerate(steps):
        await redis.pexpire(record, 5000)
        await step()
        assert await redis.pttl(record) > await redis.pttl(task) > 5000, number
    assert await redis.zcard(KEYS.open_tasks) == 0


async def test_a_task_leaves_a_lost_key_to_its_next_holder(redis: Redis, store: TaskStore) -> None:
    binding = Binding("k", "one", "d")
    await store.submit("t1", messages("t1", 1), max_backlog=9, binding=binding)
    await redis.delete(KEYS.idempotency("k"))
    assert await store.reserve("k", "two", lease_ms=5000) is None
    [(entry, message)] = await take(redis)
    await store.begin(entry, message)
    await store.expire("t1", timeout_ms=60_000)
    await store.finish(entry, message, result(message), {})
    assert await redis.pttl(KEYS.idempotency("k")) <= 5000, "the lease must not be extended"
