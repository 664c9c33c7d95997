"""A loop of steps outlasts what passes with time, and nothing else."""

import asyncio

import pytest
from redis.exceptions import ReadOnlyError
from structlog.testing import capture_logs

from schemas.retry import run_periodically
from schemas.storage.storage import StorageError


async def test_an_outage_is_one_line_and_its_end_another() -> None:
    outcomes: list[Exception | None] = [
        ReadOnlyError("failover"), StorageError("full"), OSError("reset"), None, None,
    ]  # fmt: skip
    stop = asyncio.Event()

    async def step() -> float:
        outcome = outcomes.pop(0)
        if not outcomes:
            stop.set()
        if outcome is not None:
            raise outcome
        return 0

    with capture_logs() as lines:
        await run_periodically("test", step, stop)
    assert [line["event"] for line in lines] == ["interrupted", "resumed"]


async def test_a_defect_ends_the_loop_loudly() -> None:
    async def step() -> float:
        raise KeyError("defect")

    with pytest.raises(KeyError):
        await run_periodically("test", step, asyncio.Event())


async def test_a_wait_ends_with_a_stop_or_with_the_bell() -> None:
    stop, bell, turns = asyncio.Event(), asyncio.Event(), 0

    async def step() -> float:
        nonlocal turns
        turns += 1
        bell.set() if turns == 1 else stop.set()
        return 3600

    async with asyncio.timeout(5):
        await run_periodically("test", step, stop, bell)
    assert turns == 2
