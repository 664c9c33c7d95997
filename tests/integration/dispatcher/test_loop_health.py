"""Every loop of the dispatcher reports progress."""

import asyncio
from collections.abc import Callable

import pytest
from prometheus_client import CollectorRegistry

from consumer.dispatcher.process import run_dispatcher
from consumer.health import Health
from consumer.metrics import DispatcherMetrics
from schemas.storage.storage import Storage
from tests.integration.dispatcher.conftest import World, eventually
from tests.integration.dispatcher.receiver import Receiver, both

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


async def test_all_loops_report_progress_and_one_that_hangs_is_a_problem(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, sweeping = asyncio.Event(), asyncio.Event()
    top_names = Storage.top_names

    async def hang(storage: Storage) -> tuple[str, ...] | None:
        sweeping.set()
        await go_on.wait()
        return await top_names(storage)

    monkeypatch.setattr(Storage, "top_names", hang)
    now, stop = 0.0, asyncio.Event()
    health = Health(clock=lambda: now)
    receiver = Receiver()
    receiver.port = 9
    settings = both(world, receiver, sweep_interval_seconds=0.1)
    running = asyncio.create_task(
        run_dispatcher(settings, DispatcherMetrics(CollectorRegistry()), health, stop)
    )

    async def until(condition: Callable[[], bool]) -> None:
        async def met() -> bool:
            return condition()

        await eventually(met)

    await sweeping.wait()
    await until(lambda: health.loops == {"events", "reclaim", "sweep", "upload", "callback"})
    assert health.problems == []
    now = 2000.0
    await world.complete_task("t1")  # whose webhooks are due, so that their loops turn
    await until(lambda: len(health.problems) == 1)
    assert health.problems == ["the sweep loop has made no progress for 2000 s"]
    go_on.set()
    await until(lambda: health.problems == [])
    stop.set()
    async with asyncio.timeout(10):
        await running
