"""Originals that are kept for a replay: one that no dead letter names is not kept."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from consumer.worker.dead_letters import QuarantiningStore
from schemas.contract.errors import ImageErrorCode
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import ImageFailure
from schemas.redis.dead_letters import DeadLetters
from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.results import FinishResult
from schemas.redis.task_store import TaskStore
from schemas.storage.storage import Storage, StorageError
from tests.integration.worker.conftest import KEYS, Bench

pytestmark = pytest.mark.integration

FAILURE = ImageFailure(
    index=0, filename="p.jpg", code=ImageErrorCode.TOO_MANY_DELIVERIES, detail="dead-lettered"
)


class Overtaken(Storage):
    """Storage during whose copying another worker does something."""

    meanwhile: Callable[[], Awaitable[object]]
    may_delete = True

    async def put(self, key: str, data: Any) -> None:
        await super().put(key, data)
        if "/quarantine/" in key:
            await self.meanwhile()

    async def delete(self, *keys: str) -> None:
        if not self.may_delete:
            raise StorageError("unavailable")
        await super().delete(*keys)


@pytest.fixture
def storage(bench: Bench) -> Overtaken:
    return Overtaken(bench.storage._store)


def keeping(redis: Redis, storage: Storage) -> TaskStore:
    return QuarantiningStore(redis, KEYS, storage, task_ttl_ms=3_600_000, max_bytes=1000)


async def in_flight(bench: Bench, **fields: str | bytes) -> str:
    await bench.redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
    entry = await bench.publish(task_id="t1", **fields)
    await bench.redis.xreadgroup(WORKERS_GROUP, "w", {KEYS.images: ">"})
    return entry


async def dead_letter(store: TaskStore, entry: str) -> FinishResult:
    return await store.dead_letter(
        entry, reason="too_many_deliveries", task_id="t1", failure=FAILURE, total=1
    )


def kept(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("quarantine/*")]


@pytest.mark.parametrize("fields", [{"image": b"original"}, {"object": "t1/input/0"}])
async def test_a_copy_of_an_image_that_another_finished_goes(
    bench: Bench, storage: Overtaken, fields: dict[str, str | bytes]
) -> None:
    await bench.storage.put("t1/input/0", b"original")
    entry = await in_flight(bench, **fields)
    message = ImageMessage(task_id="t1", **fields)  # type: ignore[arg-type]
    await bench.store.begin(entry, message)
    storage.meanwhile = lambda: bench.store.finish(entry, message, FAILURE, {})
    assert await dead_letter(keeping(bench.redis, storage), entry) is FinishResult.SETTLED
    assert not await bench.redis.xlen(KEYS.dead_letters)
    assert kept(bench.folder) == []


@pytest.mark.parametrize("letters_after", [0, 250])
async def test_a_copy_that_the_letter_of_another_names_stays(
    bench: Bench, storage: Overtaken, letters_after: int
) -> None:
    await bench.redis.xadd(KEYS.dead_letters, {"reason": "older"})
    entry = await in_flight(bench, image=b"original")
    other = keeping(bench.redis, bench.storage)

    async def meanwhile() -> None:
        await dead_letter(other, entry)
        for _ in range(letters_after):
            await bench.redis.xadd(KEYS.dead_letters, {"reason": "younger"})

    storage.meanwhile = meanwhile
    assert await dead_letter(keeping(bench.redis, storage), entry) is FinishResult.SETTLED
    assert kept(bench.folder) == [entry]
    box = DeadLetters(bench.redis, KEYS, bench.store, bench.storage)
    [letter] = [one async for one in box.all() if one.task_id == "t1"]
    assert await box.original(letter) == f"t1/quarantine/{entry}"


async def test_a_copy_that_storage_does_not_delete_ends_nothing_twice(
    bench: Bench, storage: Overtaken
) -> None:
    entry = await in_flight(bench, image=b"original")
    storage.meanwhile = lambda: bench.redis.xdel(KEYS.images, entry)
    storage.may_delete = False
    assert await dead_letter(keeping(bench.redis, storage), entry) is FinishResult.SETTLED
    assert kept(bench.folder) == [entry]
