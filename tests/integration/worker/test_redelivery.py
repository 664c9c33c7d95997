"""Redelivered entries are claimed, repeated and dead-lettered; they block nothing."""

import asyncio
import os
from typing import Any

import pytest

from schemas.contract.errors import ImageErrorCode
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import TaskStatus
from schemas.redis.dead_letters import DeadLetters
from schemas.redis.keys import WORKERS_GROUP
from tests.integration.worker.conftest import KEYS, Bench, Start
from tests.support.pictures import scene_file

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


async def test_abandoned_entry_is_taken_over(bench: Bench, worker: Start) -> None:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    await bench.publish(task_id="t1", image=scene_file())
    await bench.redis.xreadgroup(WORKERS_GROUP, "dead", {KEYS.images: ">"})
    async with worker() as metrics:
        state = await bench.final("t1")
    assert state.status is TaskStatus.COMPLETED
    assert metrics.redeliveries._value.get() == 1


async def test_poison_is_dead_lettered(bench: Bench, worker: Start) -> None:
    await _deliver_in_vain(bench, deadly=True)
    async with worker():
        state = await bench.final("t1")
    assert state.errors[0].code is ImageErrorCode.TOO_MANY_DELIVERIES
    assert state.errors[0].filename == "p.jpg"
    letters: Any = await bench.redis.xrange(KEYS.dead_letters)
    assert letters[0][1][b"deliveries"] == b"4"
    assert not [path for path in bench.folder.rglob("*") if path.is_file()], "no original is left"


async def test_image_that_only_waited_where_workers_died_is_not_dead_lettered(
    bench: Bench, worker: Start
) -> None:
    await _deliver_in_vain(bench, deadly=False)
    async with worker():
        state = await bench.final("t1")
    assert state.status is TaskStatus.COMPLETED
    assert not await bench.redis.hexists(KEYS.task("t1"), "trials:0")
    assert not await bench.redis.xlen(KEYS.dead_letters)


async def test_what_never_reaches_its_pixels_is_dead_lettered_in_the_end(
    bench: Bench, worker: Start
) -> None:
    await _deliver_in_vain(bench, deadly=False, times=4 * bench.settings.max_deliveries)
    async with worker():
        state = await bench.final("t1")
    assert state.errors[0].code is ImageErrorCode.TOO_MANY_DELIVERIES
    letters: Any = await bench.redis.xrange(KEYS.dead_letters)
    assert letters[0][1][b"deliveries"] == b"16"


async def test_kept_original_of_a_dead_letter_becomes_a_new_task(
    bench: Bench, worker: Start
) -> None:
    entry = await _deliver_in_vain(bench, deadly=True)
    box = DeadLetters(bench.redis, KEYS, bench.store, bench.storage)
    async with worker(dead_letter_keep_inputs=True):
        assert (await bench.final("t1")).status is TaskStatus.FAILED
        (letter,) = [found async for found in box.all()]
        kept = bench.folder / "t1" / "quarantine" / entry
        assert kept.read_bytes() == scene_file()
        # The letter comes before the deletion: wait for the worker to have done both.
        async with asyncio.timeout(10):
            while (bench.folder / "t1" / "input" / "0").exists():
                await asyncio.sleep(0.02)
        assert await box.original(letter) == f"t1/quarantine/{entry}"
        replayed = await box.replay(letter, max_backlog=10)
        state = await bench.final(replayed)
        await bench.until_settled()
    assert state.status is TaskStatus.COMPLETED
    left = [str(p.relative_to(bench.folder)) for p in bench.folder.rglob("*") if p.is_file()]
    assert left == [f"{replayed}/output/covered_p.webp"], "no original is left"


async def test_original_that_storage_refuses_ends_its_image_only(
    bench: Bench, worker: Start
) -> None:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    await bench.publish(task_id="abandoned", image=scene_file())
    await bench.redis.xreadgroup(WORKERS_GROUP, "dead", {KEYS.images: ">"})
    loop = bench.folder / "t1" / "input" / "0"
    loop.parent.mkdir(parents=True)
    loop.symlink_to(loop)  # a file that can never be opened
    await bench.publish(task_id="t1", object="t1/input/0")
    async with worker():
        assert (await bench.final("t1")).errors[0].code is ImageErrorCode.INTERNAL_ERROR
        assert (await bench.final("abandoned")).status is TaskStatus.COMPLETED


async def test_an_original_whose_reading_never_ends_fails_its_image(
    bench: Bench, worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schemas.storage.storage.CALL_SECONDS", 0.2)
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    pipe = bench.folder / "t1" / "input" / "0"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)  # opening it waits for a writer, for ever
    await bench.publish(task_id="t1", object="t1/input/0")
    await bench.redis.xreadgroup(WORKERS_GROUP, "dead", {KEYS.images: ">"})
    await bench.publish(task_id="behind", image=scene_file())
    async with worker():
        assert (await bench.final("t1")).errors[0].code is ImageErrorCode.INTERNAL_ERROR
        assert (await bench.final("behind")).status is TaskStatus.COMPLETED
    assert not pipe.exists()


async def test_entry_that_cannot_be_settled_does_not_block_those_behind_it(
    bench: Bench, worker: Start
) -> None:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    stuck = await bench.publish(task_id="stuck", image=scene_file())
    await bench.publish(task_id="behind", image=scene_file())
    await bench.redis.set(KEYS.task("stuck"), "not a hash")
    await bench.redis.xreadgroup(WORKERS_GROUP, "dead", {KEYS.images: ">"})
    for _ in range(3):
        await bench.redis.xclaim(KEYS.images, WORKERS_GROUP, "dead", 0, [stuck])
    async with worker():
        assert (await bench.final("behind")).status is TaskStatus.COMPLETED


async def _deliver_in_vain(bench: Bench, *, deadly: bool, times: int = 4) -> str:
    """Deliver an image so often without settling it; `deadly`: each attempt failed."""
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    await bench.storage.put("t1/input/0", scene_file())
    entry = await bench.publish(task_id="t1", object="t1/input/0", filename="p.jpg")
    message = ImageMessage(task_id="t1", object="t1/input/0", filename="p.jpg")
    await bench.redis.xreadgroup(WORKERS_GROUP, "dead", {KEYS.images: ">"})
    await bench.store.begin(entry, message)
    for delivery in range(2, times + 1):
        await bench.redis.xclaim(KEYS.images, WORKERS_GROUP, "dead", 0, [entry])
        await bench.store.begin(entry, message)
        if deadly:
            await bench.store.start_attempt(entry, message, delivery)
    return entry
