"""A key holds its place for one upload, and then names its task."""

import pytest
from redis.asyncio import Redis

from schemas.store import Binding, EarlierUse, KeyBusyError, SubmitAnswer, TaskStore
from tests.integration.schemas.steps import KEYS, messages

pytestmark = pytest.mark.integration


async def test_idempotency_key_from_its_hold_to_its_task(redis: Redis, store: TaskStore) -> None:
    record = KEYS.idempotency("k")
    assert await store.reserve("k", "one", lease_ms=5000) is None
    assert await store.reserve("k", "one", lease_ms=9000) is None  # the same upload: a renewal
    assert 5000 < await redis.pttl(record) <= 9000
    with pytest.raises(KeyBusyError):
        await store.reserve("k", "two", lease_ms=5000)
    await store.release("k", "two")
    assert await redis.exists(record)

    late = Binding("k", "two", "d2")
    answer = await store.submit("t2", messages("t2", 1), max_backlog=9, binding=late)
    assert answer is SubmitAnswer.LOST
    assert await store.backlog() == 0
    assert await store.state("t2") is None

    binding = Binding("k", "one", "d1")
    for expected in (SubmitAnswer.ACCEPTED, SubmitAnswer.EXISTS):
        answer = await store.submit("t1", messages("t1", 1), max_backlog=9, binding=binding)
        assert answer is expected
    for token in ("one", "two"):
        assert await store.reserve("k", token, lease_ms=5) == EarlierUse("t1", "d1")
        await store.release("k", token)
    assert await redis.pttl(record) > await redis.pttl(KEYS.task("t1")) > 0


async def test_refused_submit_leaves_the_key_to_its_holder(redis: Redis, store: TaskStore) -> None:
    await store.reserve("k", "one", lease_ms=5000)
    binding = Binding("k", "one", "d")
    answer = await store.submit("t1", messages("t1", 1), max_backlog=0, binding=binding)
    assert answer is SubmitAnswer.BACKLOG
    with pytest.raises(KeyBusyError):
        await store.reserve("k", "two", lease_ms=5000)
    await store.release("k", "one")
    assert not await redis.exists(KEYS.idempotency("k"))
    # The lease may have run out with nobody else interested: the submit is as good as before.
    answer = await store.submit("t1", messages("t1", 1), max_backlog=9, binding=binding)
    assert answer is SubmitAnswer.ACCEPTED
    assert await store.reserve("k", "two", lease_ms=5) == EarlierUse("t1", "d")


async def test_key_lives_as_long_as_a_task_that_is_kept_open(
    redis: Redis, store: TaskStore
) -> None:
    await store.submit("t1", messages("t1", 1), max_backlog=9, binding=Binding("k", "one", "d"))
    await redis.pexpire(KEYS.idempotency("k"), 1000)
    await redis.pexpire(KEYS.task("t1"), 1000)
    assert await store.expire("t1", timeout_ms=60_000) == "active"
    assert await redis.pttl(KEYS.idempotency("k")) > await redis.pttl(KEYS.task("t1")) > 1000
    await redis.delete(KEYS.task("t1"))
    assert await store.reserve("k", "two", lease_ms=5000) is None
