"""Every loop of the dispatcher shows that it turns."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from consumer.dispatcher.process import run_dispatcher
from consumer.dispatcher.sweeper import Sweeper, jobs
from consumer.health import Health
from consumer.metrics import DispatcherMetrics
from tests.integration.dispatcher.conftest import World, eventually

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

LOOPS = {"events", "reclaim", "sweep", "upload", "callback"}


async def test_all_loops_beat_and_one_that_hangs_is_a_complaint(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "JOB_SECONDS", 0.0)
    go_on, sweeping = asyncio.Event(), asyncio.Event()

    async def hang(_: Sweeper) -> None:
        sweeping.set()
        await go_on.wait()

    settings = world.settings(
        sweep_interval_seconds=0.1, backend_upload_url="http://127.0.0.1:9/",
        backend_callback_url="http://127.0.0.1:9/",
    )  # fmt: skip
    health, stop = Health(stuck_after_seconds=1.5), asyncio.Event()
    # The webhook_dispatchers look only now and then; they are not what this test is about.
    monkeypatch.setattr("consumer.dispatcher.webhook_dispatcher.POLL_SECONDS", 0.1)
    running = asyncio.create_task(
        run_dispatcher(settings, DispatcherMetrics(CollectorRegistry()), health, stop)
    )

    async def told() -> bool:
        return "sweep" in str(health.problems)

    async def well() -> bool:
        return health.problems == []

    async def beating() -> bool:
        return set(health._loops) == LOOPS

    await eventually(beating)
    assert await well()
    monkeypatch.setattr(Sweeper, "_sweep_redis", hang)
    await sweeping.wait()
    await eventually(told)
    assert [loop for loop in LOOPS if loop in str(health.problems)] == ["sweep"]
    go_on.set()
    await eventually(well)
    stop.set()
    async with asyncio.timeout(10):
        await running
