"""The worker from outside: entries in; results, task hashes, events and dead letters out."""

import asyncio
import re
from typing import Any

import pytest

from consumer.vision.detect.detector import Detector
from schemas.contract.errors import ImageErrorCode
from schemas.contract.tasks import TaskStatus
from tests.integration.worker.conftest import KEYS, Bench, Start
from tests.support.pictures import assert_covered, encoded, scene, scene_file

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


async def test_inline_image_of_a_direct_publisher(
    bench: Bench, worker: Start, model: Detector
) -> None:
    await bench.publish(task_id="t1", filename="авто.jpg", image=scene_file())
    async with worker(model) as metrics:
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
    kept = sorted(path.name for path in bench.folder.rglob("*") if path.is_file())
    assert kept == [f"covered_a_{i}.webp" for i in range(3)]


async def test_bad_images_fail_no_others(bench: Bench, worker: Start) -> None:
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
        await bench.until_settled()
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
        await bench.until_settled()
        state = await bench.store.state("t1")
        assert state is not None
        assert state.progress.done == 1
        await bench.publish(task_id="t1", index=1, total=2, image=image)
        await bench.event("t1")
    letters: Any = await bench.redis.xrange(KEYS.dead_letters)
    assert [fields[b"reason"] for _, fields in letters] == [b"index_conflict"]
    assert await bench.redis.xlen(KEYS.events) == 1


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
        await bench.until_settled()
    assert not [path for path in bench.folder.rglob("*") if path.is_file()]


async def test_outputs_that_receivers_misread_are_stored_under_names_of_their_own(
    bench: Bench, worker: Start
) -> None:
    for index, output in enumerate(("a;b.webp", "a_b.webp", 'a"b.webp')):
        await bench.publish(
            task_id="t1",
            index=index,
            total=3,
            output=output,
            image=scene_file(index, width=320 + 32 * index),
        )
    async with worker():
        state = await bench.final("t1")
    names = {result.filename for result in state.results}
    assert len(names) == 3
    assert all(re.fullmatch(r"a_b(_[012])?\.webp", name) for name in names)
    assert len({bench.result("t1", result.filename) for result in state.results}) == 3
    assert await bench.redis.xlen(KEYS.dead_letters) == 0
