"""The worker as its neighbours see it: entries in; results, task hashes, events and letters out."""

import asyncio
import os
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from consumer.metrics import WorkerMetrics
from consumer.worker.process import run_worker
from schemas.dead_letters import DeadLetters, LetterFilter
from schemas.errors import ImageErrorCode
from schemas.keys import WORKERS_GROUP
from schemas.messages import ImageMessage
from schemas.tasks import TaskStatus
from tests.integration.worker.conftest import KEYS, Bench, Start
from tests.support.pictures import assert_covered, encoded, scene, scene_file

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


async def test_inline_image_of_a_direct_publisher(bench: Bench, worker: Start) -> None:
    await bench.publish(task_id="t1", filename="авто.jpg", image=scene_file())
    async with worker() as metrics:
        event = await bench.event("t1")
        state = await bench.store.state("t1")
    assert state is not None
    assert event[b"payload"].decode() == state.model_dump_json()
    assert state.status is TaskStatus.COMPLETED
    assert [result.filename for result in state.results] == ["covered_авто.webp"]
    assert_covered(scene(), bench.result("t1", "covered_авто.webp"))
    assert await bench.store.backlog() == 0
    assert metrics.plates._value.get() >= 1


async def test_stored_originals_are_deleted_and_results_stay(bench: Bench, worker: Start) -> None:
    for index in range(3):
        await bench.storage.put(f"t1/input/{index}", scene_file(index))
        await bench.publish(
            task_id="t1", index=index, total=3, object=f"t1/input/{index}", filename="a.jpg"
        )
    async with worker():
        state = await bench.final("t1")
    assert [r.filename for r in state.results] == [f"covered_a_{i}.webp" for i in range(3)]
    for index in range(3):
        assert_covered(scene(index), bench.result("t1", f"covered_a_{index}.webp"))
    kept = sorted(path.name for path in bench.folder.rglob("*") if path.is_file())
    assert kept == [f"covered_a_{i}.webp" for i in range(3)]


async def test_bad_images_fail_alone(bench: Bench, worker: Start) -> None:
    good = scene_file()
    for index, image in enumerate((good, good[: len(good) // 2], b"GIF89a....", good)):
        await bench.publish(task_id="t1", index=index, total=4, image=image, filename=f"{index}.x")
    async with worker():
        state = await bench.final("t1")
    assert state.status is TaskStatus.COMPLETED
    assert [result.filename for result in state.results] == ["covered_0_0.webp", "covered_3_3.webp"]
    assert [(error.index, error.code) for error in state.errors] == [
        (1, ImageErrorCode.CORRUPT_IMAGE),
        (2, ImageErrorCode.UNSUPPORTED_FORMAT),
    ]


async def test_task_without_one_good_image_fails(bench: Bench, worker: Start) -> None:
    await bench.publish(task_id="t1", object="t1/input/nowhere")
    async with worker():
        event = await bench.event("t1")
        state = await bench.final("t1")
    assert event[b"type"] == b"task.failed"
    assert state.status is TaskStatus.FAILED
    assert state.errors[0].code is ImageErrorCode.INPUT_MISSING
    assert not list(bench.folder.rglob("*.webp"))


async def test_broken_entries_are_dead_lettered_with_their_reason(
    bench: Bench, worker: Start
) -> None:
    await bench.redis.xadd(KEYS.images, {"v": "9", "task_id": "future"})
    await bench.publish(task_id="../../etc", image=b"x")
    await bench.publish(task_id="other", object="t1/input/0")
    async with worker():
        state = await bench.final("other")
        await _until_empty(bench)
    letters: Any = await bench.redis.xrange(KEYS.dead_letters)
    assert {fields[b"detail"].split(b":")[0] for _, fields in letters} == {
        b"v", b"task_id", b"message",
    }  # fmt: skip
    assert not any(b"image" in fields for _, fields in letters)
    assert state.errors[0].code is ImageErrorCode.INVALID_MESSAGE
    assert await bench.store.state("future") is None


async def test_same_entry_twice_counts_once_and_other_content_conflicts(
    bench: Bench, worker: Start
) -> None:
    image = scene_file()
    for content in (image, image, scene_file(1)):
        await bench.publish(task_id="t1", index=0, total=2, image=content)
    async with worker():
        await _until_empty(bench)
        state = await bench.store.state("t1")
        assert state is not None
        assert state.progress.done == 1
        await bench.publish(task_id="t1", index=1, total=2, image=image)
        await bench.event("t1")
    letters: Any = await bench.redis.xrange(KEYS.dead_letters)
    assert [fields[b"reason"] for _, fields in letters] == [b"index_conflict"]
    assert await bench.redis.xlen(KEYS.events) == 1


async def test_abandoned_entry_is_taken_over(bench: Bench, worker: Start) -> None:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    await bench.publish(task_id="t1", image=scene_file())
    await bench.redis.xreadgroup(WORKERS_GROUP, "dead", {KEYS.images: ">"})
    async with worker() as metrics:
        state = await bench.final("t1")
    assert state.status is TaskStatus.COMPLETED
    assert metrics.redeliveries._value.get() == 1


async def test_image_that_kills_is_given_up(bench: Bench, worker: Start) -> None:
    await _deliver_in_vain(bench, deadly=True)
    async with worker():
        state = await bench.final("t1")
    assert state.errors[0].code is ImageErrorCode.TOO_MANY_DELIVERIES
    assert state.errors[0].filename == "p.jpg"
    letters: Any = await bench.redis.xrange(KEYS.dead_letters)
    assert letters[0][1][b"deliveries"] == b"4"
    assert not [path for path in bench.folder.rglob("*") if path.is_file()], "no original is left"


async def test_image_that_only_waited_where_workers_died_is_not_given_up(
    bench: Bench, worker: Start
) -> None:
    await _deliver_in_vain(bench, deadly=False)
    async with worker():
        state = await bench.final("t1")
    assert state.status is TaskStatus.COMPLETED
    assert not await bench.redis.hexists(KEYS.task("t1"), "trials:0")
    assert not await bench.redis.xlen(KEYS.dead_letters)


async def test_what_never_reaches_its_pixels_is_given_up_in_the_end(
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
        (letter,) = [found async for found in box.select(LetterFilter())]
        kept = bench.folder / "t1" / "quarantine" / entry
        assert kept.read_bytes() == scene_file()
        # The letter comes before the deletion: wait for the worker to have done both.
        async with asyncio.timeout(10):
            while (bench.folder / "t1" / "input" / "0").exists():
                await asyncio.sleep(0.02)
        assert await box.original(letter) == f"t1/quarantine/{entry}"
        replayed = await box.replay(letter, max_backlog=10)
        state = await bench.final(replayed)
        await _until_empty(bench)
    assert state.status is TaskStatus.COMPLETED
    assert_covered(scene(), bench.result(replayed, "covered_p.webp"))
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
    loop.symlink_to(loop)  # a file that can never be opened, whoever tries
    await bench.publish(task_id="t1", object="t1/input/0")
    async with worker():
        assert (await bench.final("t1")).errors[0].code is ImageErrorCode.INTERNAL_ERROR
        assert (await bench.final("abandoned")).status is TaskStatus.COMPLETED


async def test_an_original_whose_reading_never_ends_is_given_up(
    bench: Bench, worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("schemas.storage.CALL_SECONDS", 0.2)
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    pipe = bench.folder / "t1" / "input" / "0"
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)  # who opens it waits for a writer, for ever
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


async def test_stop_before_redis_was_ever_there(bench: Bench) -> None:
    settings = bench.settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    stop = asyncio.Event()
    task = asyncio.create_task(run_worker(settings, WorkerMetrics(CollectorRegistry()), stop))
    await asyncio.sleep(3)  # the model is loaded, Redis is being asked in vain
    stop.set()
    async with asyncio.timeout(20):
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


async def test_stop_finishes_what_is_in_hand_and_takes_no_more(bench: Bench, worker: Start) -> None:
    for index in range(40):
        await bench.publish(task_id="t1", index=index, total=40, image=scene_file(index % 3))
    async with worker(max_images_in_hand=8):
        async with asyncio.timeout(30):
            while (state := await bench.store.state("t1")) is None or state.progress.done < 3:
                await asyncio.sleep(0.01)
    pending: Any = await bench.redis.xpending(KEYS.images, WORKERS_GROUP)
    assert pending["pending"] == 0, "everything claimed was finished"
    assert 0 < await bench.store.backlog() < 38, "the rest waits for other workers"


@pytest.mark.parametrize("turns", [0, 1, 3, 10, 30])
async def test_stop_at_any_moment_of_the_start(bench: Bench, turns: int) -> None:
    metrics, stop = WorkerMetrics(CollectorRegistry()), asyncio.Event()
    beaten = asyncio.Event()
    metrics.vitals.beat = lambda *_, **__: beaten.set()  # type: ignore[method-assign]
    task = asyncio.create_task(run_worker(bench.settings, metrics, stop))
    if turns:
        # A loop is in the middle of a Redis call some turns of the event loop after its beat.
        await beaten.wait()
        for _ in range(turns):
            await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(15):
        await task


async def test_result_of_a_deleted_task_does_not_stay(bench: Bench, worker: Start) -> None:
    big = encoded(scene(0, 3000, 2000).rgb, "JPEG")
    await bench.storage.put("t1/input/0", big)
    await bench.publish(task_id="t1", object="t1/input/0")
    async with worker():
        async with asyncio.timeout(30):
            while await bench.store.state("t1") is None:
                await asyncio.sleep(0.005)
        await bench.store.delete("t1")
        await bench.storage.delete_prefix("t1/")
        await _until_empty(bench)
    assert not [path for path in bench.folder.rglob("*") if path.is_file()]


async def _until_empty(bench: Bench) -> None:
    async with asyncio.timeout(30):
        while await bench.store.backlog():
            await asyncio.sleep(0.02)


async def _deliver_in_vain(bench: Bench, *, deadly: bool, times: int = 4) -> str:
    """An image that workers had so often and never settled; `deadly`: it ended those it was alone
    with."""
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
            await bench.store.start_trial(entry, message, delivery)
    return entry
