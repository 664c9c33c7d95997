"""Abandoned entries beside a hand that is not empty, and in sight of several workers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from consumer.worker.in_flight import InFlight
from consumer.worker.pipeline import ImagePipeline
from consumer.worker.process import _PoisonablePipeline
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import TaskStatus
from schemas.redis.keys import WORKERS_GROUP
from tests.integration.worker.conftest import KEYS, Bench, Start
from tests.support.pictures import scene_file

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

ABANDONED = 12
LEASE_SECONDS = 2
STAND_IN = Path("stand-in:1")


async def test_new_images_do_not_wait_for_abandoned_ones(
    bench: Bench, worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    for number in range(ABANDONED):
        await bench.publish(task_id=f"abandoned-{number}", image=scene_file())
    await abandon(bench, deliveries=2)
    release, waiting, store = asyncio.Event(), asyncio.Event(), ImagePipeline.store
    alone = InFlight.exclusive

    async def slow(self: ImagePipeline, message: ImageMessage, webp: bytes) -> None:
        if message.task_id == "slow":
            await release.wait()
        await store(self, message, webp)

    @asynccontextmanager
    async def noted(self: InFlight, *, timeout_seconds: float) -> AsyncIterator[bool]:
        async with alone(self, timeout_seconds=timeout_seconds) as allowed:
            waiting.set()  # a wait has ended: whatever was being read before it has come
            yield allowed

    monkeypatch.setattr(ImagePipeline, "store", slow)
    monkeypatch.setattr(InFlight, "exclusive", noted)
    await bench.publish(task_id="slow", image=scene_file())
    async with worker(model_path=STAND_IN, lease_seconds=LEASE_SECONDS):
        async with asyncio.timeout(20):
            await waiting.wait()
        started = time.monotonic()
        await bench.publish(task_id="new", image=scene_file())
        await bench.final("new")
        assert time.monotonic() - started < 2 * LEASE_SECONDS + 3
        release.set()
        await bench.until_settled()
    for number in range(ABANDONED):
        assert (await bench.final(f"abandoned-{number}")).status is TaskStatus.COMPLETED


async def abandon(bench: Bench, *, deliveries: int) -> None:
    """Be a worker that dies with all that waits, as often as that."""
    rows: Any = await bench.redis.xreadgroup(WORKERS_GROUP, "dead", {KEYS.images: ">"})
    for entry, _ in rows[0][1]:
        await bench.redis.xclaim(
            KEYS.images, WORKERS_GROUP, "dead", 0, [entry], retrycount=deliveries, idle=100_000
        )


class Observed(ImagePipeline):
    """Notes which images are worked on at the same time."""

    together: list[set[str]]
    now: set[str]

    async def process(self, message: ImageMessage, *how: Any) -> Any:
        self.now.add(message.task_id)
        self.together.append(set(self.now))
        try:
            return await super().process(message, *how)
        finally:
            self.now.remove(message.task_id)


@pytest.mark.parametrize("deliveries", [1, 2])
async def test_first_redeliveries_share_the_process_with_new_images(
    bench: Bench, worker: Start, monkeypatch: pytest.MonkeyPatch, deliveries: int
) -> None:
    monkeypatch.setattr("consumer.worker.process.ImagePipeline", Observed)
    monkeypatch.setattr("consumer.worker.process._PoisonablePipeline", Observed)
    Observed.together, Observed.now = [], set()
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    for number in range(48):
        await bench.publish(task_id=f"old-{number}", image=scene_file(width=96))
    await abandon(bench, deliveries=deliveries)
    for number in range(48):
        await bench.publish(task_id=f"new-{number}", image=scene_file(width=96))
    async with worker(model_path=Path("stand-in:20"), max_images_in_hand=8):
        await bench.until_settled()
    old = [group for group in Observed.together if any(name.startswith("old") for name in group)]
    if deliveries == 1:
        assert max(sum(name.startswith("old") for name in group) for group in old) > 1
        assert max(len(group) for group in old) <= 8
        assert any(name.startswith("new") for group in old for name in group)
    else:
        assert all(len(group) == 1 for group in old), "a second one is alone"
    assert await bench.redis.xlen(KEYS.events) == 96
    assert await bench.redis.xlen(KEYS.dead_letters) == 0


async def test_a_result_does_not_wait_for_images_that_are_not_decoded(
    bench: Bench, worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    store, prepare = ImagePipeline.store, _PoisonablePipeline._prepare

    async def noted_store(self: ImagePipeline, message: ImageMessage, webp: bytes) -> None:
        steps.append("store")
        await store(self, message, webp)

    def noted_prepare(self: _PoisonablePipeline, data: bytes) -> Any:
        steps.append("decode")
        return prepare(self, data)

    monkeypatch.setattr(ImagePipeline, "store", noted_store)
    monkeypatch.setattr(_PoisonablePipeline, "_prepare", noted_prepare)
    for number in range(4):
        await bench.publish(task_id=f"t{number}", image=scene_file(width=960))
    # Each is larger than the whole budget, so one is decoded at a time.
    async with worker(model_path=STAND_IN, memory_budget_mb=1, processing_threads=2):
        await bench.until_settled()
    assert steps == ["decode", "store"] * 4


async def test_what_cannot_be_given_up_is_reported_once_in_a_lease(
    bench: Bench, worker: Start
) -> None:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    stuck = await bench.publish(task_id="stuck", image=scene_file(width=96))
    await abandon(bench, deliveries=16)
    await bench.redis.set(KEYS.dead_letters, "no stream")
    quick = {"model_path": STAND_IN, "lease_seconds": 2}
    with structlog.testing.capture_logs() as logs:
        async with worker(**quick), worker(**quick):
            await asyncio.sleep(5)  # two leases and a half
    told = [line for line in logs if line.get("entry") == stuck]
    assert 1 <= len(told) <= 3
    assert not [line for line in told if "exc_info" in line]
    assert await bench.redis.xlen(KEYS.images) == 1, "nothing is lost"


async def test_an_entry_whose_task_is_something_else_is_given_up(
    bench: Bench, worker: Start
) -> None:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    stuck = await bench.publish(task_id="stuck", image=scene_file(width=96))
    await abandon(bench, deliveries=4)
    await bench.redis.set(KEYS.task("stuck"), "no hash")
    with structlog.testing.capture_logs() as logs:
        async with worker(model_path=STAND_IN):
            await bench.until_settled()
    told = [line for line in logs if line.get("entry") == stuck]
    assert [line["event"] for line in told] == ["dead letter"]
    [(_, letter)] = await bench.redis.xrange(KEYS.dead_letters)
    assert (letter[b"reason"], letter[b"task_id"]) == (b"too_many_deliveries", b"stuck")


async def test_a_dead_letter_is_counted_by_the_worker_that_wrote_it(
    bench: Bench, worker: Start
) -> None:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    for number in range(ABANDONED):
        await bench.publish(task_id=f"t{number}", image=b"no picture")
    read: Any = await bench.redis.xreadgroup(WORKERS_GROUP, "dead", {KEYS.images: ">"})
    for entry, _ in read[0][1]:
        await bench.redis.xclaim(
            KEYS.images, WORKERS_GROUP, "dead", 0, [entry], retrycount=16, idle=100_000
        )
    quick = {"model_path": STAND_IN}
    async with worker(**quick) as one, worker(**quick) as two, worker(**quick) as three:
        await bench.until_settled()
    counted = [metrics.dead_letters.labels("too_many_deliveries") for metrics in (one, two, three)]
    assert sum(counter._value.get() for counter in counted) == ABANDONED
    assert await bench.redis.xlen(KEYS.dead_letters) == ABANDONED
