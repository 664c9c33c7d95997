"""The memory budget: never over, first come first served, nothing leaked."""

import asyncio
import random
from contextlib import ExitStack

import pytest

from consumer.worker.memory_budget import MemoryBudget


async def test_budget_is_never_exceeded_and_all_get_their_turn() -> None:
    budget, peak, done = MemoryBudget(100), 0, 0
    sizes = random.Random(1).choices(range(1, 60), k=200)

    async def image(size: int) -> None:
        nonlocal peak, done
        async with budget.hold(size):
            peak = max(peak, budget.used_bytes)
            await asyncio.sleep(0)
            done += 1

    async with asyncio.timeout(5):
        await asyncio.gather(*map(image, sizes))
    assert done == 200
    assert 60 < peak <= 100
    assert budget.used_bytes == 0


async def test_larger_than_the_budget_is_admitted_if_nothing_else_is() -> None:
    budget, seen = MemoryBudget(10), []

    async def image(size: int) -> None:
        async with budget.hold(size):
            seen.append(budget.used_bytes)
            await asyncio.sleep(0)

    async with asyncio.timeout(5):
        await asyncio.gather(image(4), image(25), image(4))
    assert seen == [4, 25, 4]


async def test_first_come_first_served() -> None:
    budget, order = MemoryBudget(10), []

    async def image(name: str, size: int) -> None:
        async with budget.hold(size):
            order.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(image("a", 8), image("big", 9), image("small", 1))
    assert order == ["a", "big", "small"], "a small one must not starve a big one"


async def test_a_result_does_not_wait_and_its_memory_goes_to_no_other() -> None:
    budget = MemoryBudget(10)
    room = ExitStack()
    admitted = asyncio.Event()

    async def next_one() -> None:
        async with budget.hold(10):
            admitted.set()

    async with budget.hold(10):
        waiting = asyncio.create_task(next_one())
        await asyncio.sleep(0)
        room.enter_context(budget.hold_now(1))
    for _ in range(3):
        await asyncio.sleep(0)
    assert budget.used_bytes == 1
    assert not admitted.is_set()
    room.close()
    await waiting
    assert budget.used_bytes == 0


@pytest.mark.parametrize("turns", range(4))
async def test_cancelled_while_waiting_or_just_admitted(turns: int) -> None:
    budget = MemoryBudget(10)
    release = asyncio.Event()

    async def holder() -> None:
        async with budget.hold(10):
            await release.wait()

    async def waiter() -> None:
        async with budget.hold(10):
            pass

    first, second = asyncio.create_task(holder()), asyncio.create_task(waiter())
    await asyncio.sleep(0)
    release.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert budget.used_bytes == 0
