"""Results that storage refuses: a single one fails its image, a full disk is waited for."""

import asyncio
from typing import Any

import pytest
import structlog

from consumer.worker.covering import STORAGE_ATTEMPTS
from schemas.contract.errors import ImageErrorCode
from schemas.contract.tasks import TaskState, TaskStatus
from schemas.storage.storage import Storage, StorageFullError
from tests.integration.worker.conftest import Bench, Start
from tests.support.pictures import scene_file

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

ORIGINAL = scene_file(width=320)
SLOTS = 2


def codes(state: TaskState) -> list[ImageErrorCode]:
    return [error.code for error in state.errors]


async def test_an_image_whose_result_is_refused_ends_and_blocks_no_other(
    bench: Bench, worker: Start
) -> None:
    refused, good = [f"bad{n}" for n in range(SLOTS)], [f"good{n}" for n in range(3)]
    for task_id in refused:
        # A folder of that name: this one key cannot be written.
        (bench.folder / task_id / "output" / "covered_image.webp").mkdir(parents=True)
    for task_id in (*refused, *good):
        await bench.storage.put(f"{task_id}/input/0", ORIGINAL)
        await bench.publish(task_id=task_id, object=f"{task_id}/input/0")
    async with worker(max_images_in_hand=SLOTS):
        for task_id in refused:
            state = await bench.final(task_id)
            assert (state.status, codes(state)) == (
                TaskStatus.FAILED, [ImageErrorCode.INTERNAL_ERROR],
            )  # fmt: skip
        for task_id in good:
            assert (await bench.final(task_id)).status is TaskStatus.COMPLETED
    left = {path.relative_to(bench.folder) for path in bench.folder.rglob("*") if path.is_file()}
    assert {str(path) for path in left} == {f"{id_}/output/covered_image.webp" for id_ in good}


async def test_a_failed_image_has_no_result_of_an_earlier_attempt(
    bench: Bench, worker: Start
) -> None:
    result = "t1/output/covered_image.webp"
    await bench.storage.put(result, b"stored by a worker that died then")
    await bench.publish(task_id="t1", image=b"no picture")
    async with worker():
        assert codes(await bench.final("t1")) == [ImageErrorCode.UNSUPPORTED_FORMAT]
    assert not (bench.folder / result).exists()


async def test_a_disk_with_room_for_a_few_bytes_is_waited_for(
    bench: Bench, worker: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, attempts, enough = Storage.put, 0, asyncio.Event()
    is_full = True

    async def put_little(storage: Storage, key: str, data: Any) -> None:
        nonlocal attempts
        if is_full and len(data) > 100:
            attempts += "/output/" in key
            if attempts > STORAGE_ATTEMPTS:
                enough.set()
            raise StorageFullError("put: disk full")
        await put(storage, key, data)

    monkeypatch.setattr(Storage, "put", put_little)
    with structlog.testing.capture_logs() as lines:
        async with worker():
            await bench.publish(task_id="t1", image=ORIGINAL)
            await enough.wait()
            assert (await bench.store.backlog()) == 1
            is_full = False
            assert (await bench.final("t1")).status is TaskStatus.COMPLETED
    assert "image failed" not in [line["event"] for line in lines]
