"""Deliveries during which an image's pixels were worked on are told from others."""

import pytest
from redis.asyncio import Redis

from schemas.redis.task_store import TaskStore
from tests.integration.schemas.steps import KEYS, messages, result, take

pytestmark = pytest.mark.integration


async def test_trials_of_an_image(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    (e0, m0), (e1, m1) = await take(redis)
    assert await store.failed_attempts(e0, m0, 1) == 0
    for delivery in (2, 2, 3):  # the second is the first again, its answer was lost
        await store.start_attempt(e0, m0, delivery)
    assert await store.failed_attempts(e0, m0, 3) == 2
    assert await store.failed_attempts(e0, m0, 2) == 1, "the third is another worker's, under way"
    assert await store.failed_attempts(e1, m1, 3) == 0
    await store.start_attempt("9-9", m0, 3)  # added again after its stream was lost
    assert await store.failed_attempts("9-9", m0, 3) == 3
    await store.clear_attempts(m0)
    assert await store.failed_attempts(e0, m0, 3) == 0
    await store.start_attempt(e0, m0, 4)
    await store.finish(e0, m0, result(m0), {})
    assert await store.failed_attempts(e0, m0, 4) == 0, "what has ended leaves nothing"


async def test_a_trial_makes_no_task(redis: Redis, store: TaskStore) -> None:
    await store.start_attempt("1-1", messages("t1", 1)[0], 2)
    assert not await redis.exists(KEYS.task("t1"))
