"""What counts as a failed attempt of an image, and what does not."""

import asyncio

import pytest

from consumer.worker.poison import PoisonGuard
from consumer.worker.stream import Entry
from schemas.contract.messages import ImageMessage
from schemas.redis.keys import WORKERS_GROUP
from tests.integration.worker.conftest import KEYS, Bench

pytestmark = pytest.mark.integration

MESSAGE = ImageMessage(task_id="t1", object="t1/input/0")
SHARED = 2


@pytest.fixture
async def guard(bench: Bench) -> PoisonGuard:
    return PoisonGuard(bench.store, SHARED + 2, asyncio.Event())


async def begun(bench: Bench, deliveries: int) -> Entry:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    entry = await bench.publish(task_id="t1", object="t1/input/0")
    await bench.redis.xreadgroup(WORKERS_GROUP, "w", {KEYS.images: ">"})
    await bench.store.begin(entry, MESSAGE)
    [(_, fields)] = await bench.redis.xrange(KEYS.images)
    return Entry(KEYS.images, entry, fields, deliveries)


async def attempts(bench: Bench, entry: Entry) -> int:
    return await bench.store.failed_attempts(entry.id, MESSAGE, entry.deliveries)


@pytest.mark.parametrize(("deliveries", "expected"), [(SHARED, 0), (SHARED + 1, 1)])
async def test_an_attempt_that_fails_counts_if_it_was_exclusive(
    bench: Bench, guard: PoisonGuard, deliveries: int, expected: int
) -> None:
    entry = await begun(bench, deliveries)
    with pytest.raises(RuntimeError):
        async with guard.watch(entry, MESSAGE):
            raise RuntimeError("defect of a decoder")
    assert await attempts(bench, entry) == expected


async def test_an_attempt_that_succeeds_clears_those_before(
    bench: Bench, guard: PoisonGuard
) -> None:
    entry = await begun(bench, SHARED + 2)
    await bench.store.start_attempt(entry.id, MESSAGE, SHARED + 1)
    async with guard.watch(entry, MESSAGE):
        assert await attempts(bench, entry) == 2
    assert await attempts(bench, entry) == 0


async def test_a_drain_that_cancels_an_attempt_clears_it(bench: Bench, guard: PoisonGuard) -> None:
    entry, inside = await begun(bench, SHARED + 1), asyncio.Event()

    async def attempt() -> None:
        async with guard.watch(entry, MESSAGE):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(attempt())
    await inside.wait()
    assert await attempts(bench, entry) == 1
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await attempts(bench, entry) == 0
