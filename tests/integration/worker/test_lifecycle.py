"""A worker that starts and stops, and whose stream or group is deleted while it runs."""

import asyncio
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from consumer.health import Health
from consumer.metrics import WorkerMetrics
from consumer.vision.networks import Networks
from consumer.worker.process import run_worker
from schemas.contract.tasks import TaskStatus
from schemas.redis.keys import WORKERS_GROUP
from tests.integration.worker.conftest import KEYS, Bench, Start
from tests.support.pictures import scene_file
from tests.support.stand_in import StandInDetector

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


async def test_stop_before_redis_was_ever_there(bench: Bench) -> None:
    settings = bench.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    stop = asyncio.Event()
    metrics = WorkerMetrics(CollectorRegistry())
    with structlog.testing.capture_logs() as lines:
        task = asyncio.create_task(
            run_worker(settings, metrics, Health(), stop, Networks(StandInDetector()))
        )
        async with asyncio.timeout(20):
            while not lines:
                await asyncio.sleep(0.01)
            assert lines[0]["event"] == "waiting for a server"
            stop.set()
            await task


async def test_group_destroyed_under_way_is_made_again(bench: Bench, worker: Start) -> None:
    async with worker():
        await bench.publish(task_id="before", image=scene_file())
        await bench.final("before")
        await bench.redis.xgroup_destroy(KEYS.images, WORKERS_GROUP)
        await bench.publish(task_id="after", image=scene_file(1))
        assert (await bench.final("after")).status is TaskStatus.COMPLETED


async def test_flushall_under_way_does_not_stop_new_work(bench: Bench, worker: Start) -> None:
    async with worker():
        await bench.publish(task_id="before", image=scene_file())
        await bench.final("before")
        await bench.redis.flushall()
        await bench.publish(task_id="after", image=scene_file(1))
        assert (await bench.final("after")).status is TaskStatus.COMPLETED


async def test_stop_finishes_what_is_in_flight_and_takes_no_more(
    bench: Bench, worker: Start
) -> None:
    for index in range(40):
        await bench.publish(task_id="t1", index=index, total=40, image=scene_file(index % 3))
    async with worker(Networks(StandInDetector(20)), max_images_in_hand=8):
        async with asyncio.timeout(30):
            while (state := await bench.store.state("t1")) is None or state.progress.done < 3:
                await asyncio.sleep(0.01)
    pending: Any = await bench.redis.xpending(KEYS.images, WORKERS_GROUP)
    assert pending["pending"] == 0, "everything claimed was finished"
    assert 0 < await bench.store.backlog() < 38, "the rest waits for other workers"


@pytest.mark.parametrize("turns", [0, 1, 3, 10, 30])
async def test_stop_at_any_moment_of_the_start(bench: Bench, turns: int) -> None:
    metrics, health, stop = WorkerMetrics(CollectorRegistry()), Health(), asyncio.Event()
    beaten = asyncio.Event()
    health.beat = lambda *_, **__: beaten.set()  # type: ignore[method-assign]
    task = asyncio.create_task(
        run_worker(bench.settings, metrics, health, stop, Networks(StandInDetector()))
    )
    if turns:
        # A loop is in the middle of a Redis call some turns of the event loop after its beat.
        await beaten.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(15):
        await task
