"""A worker adds covers to results, before the images that wait, and loses none whatever happens."""

import asyncio
import hashlib
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from redis.asyncio import Redis

from consumer.vision.cover.cover import FILL
from consumer.worker.pipeline import ImagePipeline
from schemas.contract.corrections import CorrectionErrorCode, CorrectionMessage, CoversToAdd
from schemas.contract.messages import ImageMessage
from schemas.contract.names import result_url
from schemas.contract.tasks import ImageResult
from schemas.redis import scripts
from schemas.redis.corrections import AcceptedCorrection, CorrectionStore
from schemas.redis.keys import WORKERS_GROUP
from schemas.storage.storage import Storage
from tests.integration.worker.conftest import KEYS, Bench, Start
from tests.integration.worker.test_lost_answer import Swallowing
from tests.support.pictures import encoded, scene_file

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

NAME = "covered_a.webp"
PLAIN = np.full((80, 200, 3), (200, 30, 30), np.uint8)


@pytest.fixture
async def corrections(bench: Bench) -> CorrectionStore:
    for stream in (KEYS.images, KEYS.corrections):
        await bench.redis.xgroup_create(stream, WORKERS_GROUP, "0", mkstream=True)
    return CorrectionStore(bench.redis, KEYS, task_ttl_ms=bench.settings.task_ttl_ms)


@pytest.fixture
async def _completed(bench: Bench, corrections: CorrectionStore) -> None:
    """A completed task with one result, in which nothing is covered."""
    message = ImageMessage(task_id="t1", output=NAME, image=b"x")
    entry = (await bench.redis.xadd(KEYS.images, message.to_fields())).decode()  # type: ignore[arg-type]
    await bench.redis.xreadgroup(WORKERS_GROUP, "w", {KEYS.images: ">"})
    await bench.store.begin(entry, message)
    await bench.storage.put(f"t1/output/{NAME}", encoded(PLAIN, "WEBP"))
    result = ImageResult(filename=NAME, url=result_url("t1", NAME))
    await bench.store.finish(entry, message, result, {})


completed = pytest.mark.usefixtures("_completed")


async def add(corrections: CorrectionStore, x: int, name: str | None = None) -> AcceptedCorrection:
    covers = {"covers": [[[x, 10], [x + 30, 10], [x + 30, 25], [x, 25]]]}
    return await corrections.add(
        "t1", NAME, name or f"c{x}", CoversToAdd.model_validate(covers), "", max_backlog=100
    )


async def ended(corrections: CorrectionStore, accepted: AcceptedCorrection) -> AcceptedCorrection:
    async with asyncio.timeout(30):
        while True:
            now = await corrections.again("t1", accepted)
            assert now is not None
            if not now.is_waiting:
                return now
            await asyncio.sleep(0.02)


async def current(bench: Bench) -> bytes:
    located = await bench.store.locate_result("t1", NAME)
    assert located is not None
    return bench.result("t1", located.file)


async def covered(bench: Bench) -> list[int]:
    """Return at which tens of columns the current version is covered."""
    rgb = np.asarray(Image.open(io.BytesIO(await current(bench))).convert("RGB"), np.int16)
    return [
        x for x in range(0, 200, 10)
        if np.abs(rgb[14:21, x + 3 : x + 7] - np.array(FILL)).max() < 20
    ]  # fmt: skip


def files(bench: Bench) -> list[str]:
    return sorted(path.name for path in (bench.folder / "t1" / "output").iterdir())


async def only_the_current_file_is_left(bench: Bench) -> None:
    located = await bench.store.locate_result("t1", NAME)
    assert located is not None
    async with asyncio.timeout(10):
        while files(bench) != [located.file]:
            await asyncio.sleep(0.02)


@completed
async def test_covers_are_added_and_the_old_version_is_gone(
    bench: Bench, worker: Start, corrections: CorrectionStore
) -> None:
    before = await current(bench)
    async with worker(cover_mode="fill") as metrics:
        first = await ended(corrections, await add(corrections, 20))
        assert (first.version, first.code, first.result.version) == (1, None, 1)
        assert await covered(bench) == [20, 30, 40]
        second = await ended(corrections, await add(corrections, 120))
        assert second.version == 2
        assert await covered(bench) == [20, 30, 40, 120, 130, 140]
        await only_the_current_file_is_left(bench)
    assert await current(bench) != before
    stored = await bench.redis.hget(KEYS.task("t1"), "version:0")
    assert stored is not None
    assert stored.split()[2].decode() == hashlib.sha256(await current(bench)).hexdigest()
    assert metrics.corrections.labels("done")._value.get() == 2


@completed
async def test_corrections_do_not_wait_behind_images(
    bench: Bench, worker: Start, corrections: CorrectionStore
) -> None:
    for number in range(40):
        await bench.publish(task_id=f"image-{number}", image=scene_file(width=320))
    accepted = await add(corrections, 20)
    async with worker(max_images_in_hand=2):
        await ended(corrections, accepted)
        assert await bench.store.backlog() > 30
        await bench.until_settled()


@completed
async def test_corrections_of_one_result_at_the_same_time_are_all_made(
    bench: Bench, worker: Start, corrections: CorrectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three entries are begun from the same version: those that end later begin again."""
    together, begun = asyncio.Barrier(3), 0
    add_covers = ImagePipeline.add_covers

    async def all_at_once(self: ImagePipeline, data: bytes, quads: Any) -> Any:
        nonlocal begun
        begun += 1
        if begun <= 3:
            await together.wait()
        return await add_covers(self, data, quads)

    monkeypatch.setattr(ImagePipeline, "add_covers", all_at_once)
    accepted = [await add(corrections, x) for x in (20, 80, 140)]
    async with worker(cover_mode="fill") as one, worker(cover_mode="fill") as other:
        for correction in accepted:
            await ended(corrections, correction)
        async with asyncio.timeout(10):
            while await corrections.waiting():
                await asyncio.sleep(0.02)
        assert await covered(bench) == [20, 30, 40, 80, 90, 100, 140, 150, 160]
        await only_the_current_file_is_left(bench)
    counts = [metrics.corrections.labels("done")._value.get() for metrics in (one, other)]
    assert sum(counts) == 3


@completed
async def test_a_worker_that_lost_its_lease_changes_nothing(
    bench: Bench, worker: Start, corrections: CorrectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has stored its version when another worker finishes the same correction."""
    stored, go_on = asyncio.Event(), asyncio.Event()
    put = Storage.put

    async def stall_after_first(self: Storage, key: str, data: Any) -> None:
        await put(self, key, data)
        if ".v" in key and not stored.is_set():
            stored.set()
            await go_on.wait()

    monkeypatch.setattr(Storage, "put", stall_after_first)
    accepted = await add(corrections, 20)
    async with worker() as stalled, asyncio.timeout(30):
        await stored.wait()
        [row] = await bench.redis.xpending_range(KEYS.corrections, WORKERS_GROUP, "-", "+", 9)
        await bench.redis.xclaim(
            KEYS.corrections, WORKERS_GROUP, "dead", 0, [row["message_id"]], idle=100_000
        )
        async with worker():
            done = await ended(corrections, accepted)
        winner = await bench.store.locate_result("t1", NAME)
        go_on.set()
        while not stalled.corrections.labels("superseded")._value.get():
            await asyncio.sleep(0.02)
        assert done.version == 1
        assert await bench.store.locate_result("t1", NAME) == winner
        await only_the_current_file_is_left(bench)


@completed
async def test_a_correction_whose_worker_died_after_storing_is_made_again(
    bench: Bench, worker: Start, corrections: CorrectionStore
) -> None:
    accepted = await add(corrections, 20)
    [[_, [[entry, _]]]] = await bench.redis.xreadgroup(
        WORKERS_GROUP, "dead", {KEYS.corrections: ">"}
    )
    await corrections.begin(entry.decode(), CorrectionMessage("t1", 0))
    await bench.storage.put("t1/output/0.v1-dead", b"of a worker that died")
    async with worker(cover_mode="fill", lease_seconds=0.3):
        assert (await ended(corrections, accepted)).version == 1
    assert await covered(bench) == [20, 30, 40]
    assert len(files(bench)) == 2, "the sweeper deletes what a dead worker left"


@completed
async def test_a_version_whose_response_is_lost_is_made_once(
    bench: Bench, worker: Start, corrections: CorrectionStore, redis_server: str
) -> None:
    await bench.redis.script_load(scripts.source("finish_correction"))
    swallowing = Swallowing(redis_server, "finish_correction", times=2)
    async with swallowing.listening(), worker(redis_url=swallowing.url) as metrics:
        accepted = await add(corrections, 20)
        await ended(corrections, accepted)
        await only_the_current_file_is_left(bench)
    assert swallowing.left == 0
    assert metrics.corrections.labels("done")._value.get() == 1
    events = await bench.redis.xrange(KEYS.events)
    assert [fields[b"type"] for _, fields in events] == [b"task.completed", b"result.updated"]


@completed
async def test_what_cannot_be_made_is_refused_and_changes_nothing(
    bench: Bench, worker: Start, corrections: CorrectionStore
) -> None:
    before = await current(bench)
    outside = await add(corrections, 500)
    async with worker():
        assert (await ended(corrections, outside)).code is CorrectionErrorCode.OUTSIDE_IMAGE
        assert await current(bench) == before
        both = [await add(corrections, x, f"d{x}") for x in (600, 20)]
        codes = [(await ended(corrections, one)).code for one in both]
        assert codes == [CorrectionErrorCode.OUTSIDE_IMAGE, None]
        for name, content in (("damaged", b"RIFF damaged"), ("missing", None)):
            located = await bench.store.locate_result("t1", NAME)
            assert located is not None
            path = bench.folder / "t1" / "output" / located.file
            path.write_bytes(content) if content else path.unlink()
            late = await add(corrections, 20, name)
            assert (await ended(corrections, late)).code is CorrectionErrorCode.RESULT_UNREADABLE


@completed
async def test_a_deleted_task_gets_no_file_back(
    bench: Bench, worker: Start, corrections: CorrectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Storage.put

    async def put_after_deletion(self: Storage, key: str, data: Any) -> None:
        await bench.store.delete("t1")
        await self.delete_prefix("t1/")
        await put(self, key, data)

    monkeypatch.setattr(Storage, "put", put_after_deletion)
    await add(corrections, 20)
    async with worker(), asyncio.timeout(20):
        while await corrections.waiting():
            await asyncio.sleep(0.02)
    assert not [path for path in bench.folder.rglob("*") if path.is_file()]


@completed
async def test_poison_is_refused_in_the_end(
    bench: Bench, worker: Start, corrections: CorrectionStore
) -> None:
    accepted = await add(corrections, 20)
    [[_, [[entry, _]]]] = await bench.redis.xreadgroup(
        WORKERS_GROUP, "dead", {KEYS.corrections: ">"}
    )
    message = CorrectionMessage("t1", 0)
    for delivery in range(2, 5):
        await bench.redis.xclaim(KEYS.corrections, WORKERS_GROUP, "dead", 0, [entry])
        await bench.store.start_attempt(entry.decode(), message, delivery)
    async with worker(lease_seconds=0.3):
        refused = await ended(corrections, accepted)
    assert refused.code is CorrectionErrorCode.TOO_MANY_DELIVERIES
    assert await bench.redis.xlen(KEYS.dead_letters) == 0


async def test_foreign_entries_are_dropped(
    bench: Bench, worker: Start, corrections: CorrectionStore
) -> None:
    redis: Redis = bench.redis
    for fields in ({"v": 1, "task_id": "nobody", "index": 0}, {"what": "else"}):
        await redis.xadd(KEYS.corrections, fields)  # type: ignore[arg-type]
    async with worker(), asyncio.timeout(20):
        while await corrections.waiting():
            await asyncio.sleep(0.02)
