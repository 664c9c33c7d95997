"""Abandoned entries beside others in flight, and with several workers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog

from consumer.vision import finding
from consumer.vision.networks import Networks
from consumer.worker.in_flight import InFlight
from consumer.worker.processor import ImageProcessor
from consumer.worker.stream import Entry
from schemas.contract.tasks import TaskStatus
from schemas.redis.keys import WORKERS_GROUP
from schemas.storage.storage import Storage
from tests.integration.worker.conftest import KEYS, Bench, Start
from tests.support.pictures import scene_file
from tests.support.stand_in import StandInDetector

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

ABANDONED = 12


async def test_new_images_do_not_wait_for_abandoned_ones(
    bench: Bench, worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    for number in range(ABANDONED):
        await bench.publish(task_id=f"abandoned-{number}", image=scene_file())
    await abandon(bench, deliveries=2)
    release, waits = asyncio.Event(), asyncio.Semaphore(0)
    put, exclusive = Storage.put, InFlight.exclusive

    async def slow(self: Storage, key: str, data: Any) -> None:
        if key.startswith("slow/"):
            await release.wait()
        await put(self, key, data)

    @asynccontextmanager
    async def counted(self: InFlight, *, timeout_seconds: float) -> AsyncIterator[bool]:
        async with exclusive(self, timeout_seconds=timeout_seconds) as allowed:
            waits.release()
            yield allowed

    monkeypatch.setattr(Storage, "put", slow)
    monkeypatch.setattr(InFlight, "exclusive", counted)
    await bench.publish(task_id="slow", image=scene_file())
    async with worker(lease_seconds=1):
        async with asyncio.timeout(20):
            await waits.acquire()  # what was read before has come
        await bench.publish(task_id="new", image=scene_file())
        await bench.final("new")
        assert waits._value <= 2, "the new image waited for the abandoned ones"
        release.set()
        await bench.until_settled()
    for number in range(ABANDONED):
        assert (await bench.final(f"abandoned-{number}")).status is TaskStatus.COMPLETED


async def abandon(bench: Bench, *, deliveries: int) -> None:
    """Read all that waits, and let it be abandoned after so many deliveries."""
    rows: Any = await bench.redis.xreadgroup(WORKERS_GROUP, "dead", {KEYS.images: ">"})
    for entry, _ in rows[0][1]:
        await bench.redis.xclaim(
            KEYS.images, WORKERS_GROUP, "dead", 0, [entry], retrycount=deliveries, idle=100_000
        )


class Observed(ImageProcessor):
    """Notes which images are processed at the same time."""

    together: list[set[str]]
    now: set[str]

    async def process(self, entry: Entry) -> None:
        task_id = entry.fields[b"task_id"].decode()
        self.now.add(task_id)
        self.together.append(set(self.now))
        try:
            await super().process(entry)
        finally:
            self.now.remove(task_id)


@pytest.mark.parametrize("deliveries", [1, 2])
async def test_first_redeliveries_share_the_process_with_new_images(
    bench: Bench, worker: Start, monkeypatch: pytest.MonkeyPatch, deliveries: int
) -> None:
    monkeypatch.setattr("consumer.worker.process.ImageProcessor", Observed)
    Observed.together, Observed.now = [], set()
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    for number in range(48):
        await bench.publish(task_id=f"old-{number}", image=scene_file(width=96))
    await abandon(bench, deliveries=deliveries)
    for number in range(48):
        await bench.publish(task_id=f"new-{number}", image=scene_file(width=96))
    async with worker(Networks(StandInDetector(20)), max_images_in_hand=8):
        await bench.until_settled()
    old = [group for group in Observed.together if any(name.startswith("old") for name in group)]
    if deliveries == 1:
        assert max(sum(name.startswith("old") for name in group) for group in old) > 1
        assert max(len(group) for group in old) <= 8
        assert any(name.startswith("new") for group in old for name in group)
    else:
        assert all(len(group) == 1 for group in old), "a second redelivery is exclusive"
    assert await bench.redis.xlen(KEYS.events) == 96
    assert await bench.redis.xlen(KEYS.dead_letters) == 0


async def test_a_result_does_not_wait_for_images_that_are_not_decoded(
    bench: Bench, worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    put, decode = Storage.put, finding.decode

    async def noted_put(self: Storage, key: str, data: Any) -> None:
        steps.append("store")
        await put(self, key, data)

    def noted_decode(data: bytes, **options: Any) -> Any:
        steps.append("decode")
        return decode(data, **options)

    monkeypatch.setattr(Storage, "put", noted_put)
    monkeypatch.setattr(finding, "decode", noted_decode)
    for number in range(4):
        await bench.publish(task_id=f"t{number}", image=scene_file(width=960))
    # Each is larger than the whole budget, so one is decoded at a time.
    async with worker(memory_budget_mb=1, processing_threads=2):
        await bench.until_settled()
    assert steps == ["decode", "store"] * 4


async def test_what_cannot_be_dead_lettered_is_reported_once_in_a_lease(
    bench: Bench, worker: Start
) -> None:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    stuck = await bench.publish(task_id="stuck", image=scene_file(width=96))
    await abandon(bench, deliveries=16)
    await bench.redis.set(KEYS.dead_letters, "no stream")
    with structlog.testing.capture_logs([structlog.processors.TimeStamper(fmt=None)]) as logs:
        async with worker(), worker(), asyncio.timeout(30):
            while len(reports := [line for line in logs if line.get("entry") == stuck]) < 2:
                await asyncio.sleep(0.02)
    first, second = (line["timestamp"] for line in reports[:2])
    assert second - first > 0.9 * bench.settings.lease_seconds
    assert not [line for line in reports if "exc_info" in line]
    assert await bench.redis.xlen(KEYS.images) == 1, "nothing is lost"


async def test_an_entry_whose_task_is_something_else_is_dead_lettered(
    bench: Bench, worker: Start
) -> None:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    stuck = await bench.publish(task_id="stuck", image=scene_file(width=96))
    await abandon(bench, deliveries=4)
    await bench.redis.set(KEYS.task("stuck"), "no hash")
    with structlog.testing.capture_logs() as logs:
        async with worker():
            await bench.until_settled()
    reports = [line for line in logs if line.get("entry") == stuck]
    assert [line["event"] for line in reports] == ["dead letter"]
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
    async with worker() as one, worker() as two, worker() as three:
        await bench.until_settled()
    counted = [metrics.dead_letters.labels("too_many_deliveries") for metrics in (one, two, three)]
    assert sum(counter._value.get() for counter in counted) == ABANDONED
    assert await bench.redis.xlen(KEYS.dead_letters) == ABANDONED
