"""Every loop of a worker shows its progress; one that waits for a slow image has not hung."""

import asyncio

import pytest

from consumer.health import Health
from consumer.vision.networks import Networks
from consumer.worker.stream import Abandoned, WorkStreams
from schemas.redis.keys import WORKERS_GROUP
from tests.integration.worker.conftest import KEYS, Bench, Start
from tests.support.pictures import scene_file
from tests.support.stand_in import StandInDetector

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

LIMIT_SECONDS = 1.0


async def problem_of(health: Health, loop: str) -> str:
    async with asyncio.timeout(20):
        while True:
            for problem in health.problems:
                if f"the {loop} loop" in problem:
                    return problem
            await asyncio.sleep(0.02)


async def test_all_loops_beat_and_an_idle_worker_has_no_problem(
    bench: Bench, worker: Start
) -> None:
    health = Health()
    async with worker(health=health):
        await bench.publish(task_id="t1", image=scene_file(width=320))
        await bench.final("t1")
        assert health.loops == {"read", "reclaim", "renew"}
        assert health.problems == []


async def test_a_reclaim_loop_that_hangs_is_a_problem(
    bench: Bench, worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    health, hung = Health(LIMIT_SECONDS), asyncio.Event()

    async def hang(_: WorkStreams, stream: str, limit: int) -> list[Abandoned]:
        await hung.wait()
        return []

    monkeypatch.setattr(WorkStreams, "abandoned", hang)
    async with worker(health=health, lease_seconds=0.2):
        assert "no progress" in await problem_of(health, "reclaim")
        hung.set()
        async with asyncio.timeout(10):
            while any("reclaim" in problem for problem in health.problems):
                await asyncio.sleep(0.02)


async def test_an_image_taken_over_may_take_its_time(bench: Bench, worker: Start) -> None:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    await bench.publish(task_id="t1", image=scene_file(width=320))
    [[_, [[entry, _]]]] = await bench.redis.xreadgroup(WORKERS_GROUP, "dead", {KEYS.images: ">"})
    await bench.redis.xclaim(KEYS.images, WORKERS_GROUP, "dead", 0, [entry], idle=100_000)
    health, slow = Health(LIMIT_SECONDS), Networks(StandInDetector(int(2500 * LIMIT_SECONDS)))
    async with worker(slow, health, lease_seconds=0.2) as metrics:
        ended = asyncio.create_task(bench.final("t1"))
        while not ended.done():
            assert not [problem for problem in health.problems if "reclaim" in problem]
            await asyncio.sleep(0.02)
        assert metrics.redeliveries._value.get() == 1
