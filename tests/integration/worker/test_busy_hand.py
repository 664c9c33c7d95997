"""Abandoned entries beside a hand that is not empty, and in sight of several workers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from consumer.worker.hand import Hand
from consumer.worker.pipeline import ImagePipeline
from schemas.keys import WORKERS_GROUP
from schemas.messages import ImageMessage
from schemas.tasks import TaskStatus
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
    await bench.redis.xreadgroup(WORKERS_GROUP, "dead", {KEYS.images: ">"}, count=ABANDONED)
    release, waiting, store = asyncio.Event(), asyncio.Event(), ImagePipeline.store
    alone = Hand.alone

    async def slow(self: ImagePipeline, message: ImageMessage, webp: bytes) -> None:
        if message.task_id == "slow":
            await release.wait()
        await store(self, message, webp)

    @asynccontextmanager
    async def noted(self: Hand, *, patience_seconds: float) -> AsyncIterator[bool]:
        async with alone(self, patience_seconds=patience_seconds) as allowed:
            waiting.set()  # a wait has ended: whatever was being read before it has come
            yield allowed

    monkeypatch.setattr(ImagePipeline, "store", slow)
    monkeypatch.setattr(Hand, "alone", noted)
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
