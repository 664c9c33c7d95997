"""A lowered MAX_FILES_PER_REQUEST binds new tasks; those that were accepted before go on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from consumer.health import Health
from consumer.metrics import WorkerMetrics
from consumer.settings import WorkerSettings
from consumer.worker.process import run_worker
from schemas.contract.errors import ImageErrorCode
from schemas.contract.tasks import TaskStatus
from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.task_store import BeginAnswer, TaskStore
from schemas.storage.storage import Storage
from tests.integration.schemas.steps import KEYS, messages, take
from tests.support.pictures import scene_file

pytestmark = pytest.mark.integration

LOWERED = 2
Worker = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture
def worker(redis_server: str, tmp_path: Path) -> Worker:
    """A worker under the lowered limit, for the length of a block."""

    @asynccontextmanager
    async def start() -> AsyncIterator[None]:
        settings = WorkerSettings(
            redis_url=redis_server, tasks_storage_url=tmp_path.as_uri(), metrics_port=0,
            drain_seconds=10, max_files_per_request=LOWERED,
        )  # fmt: skip
        metrics, stop = WorkerMetrics(CollectorRegistry()), asyncio.Event()
        task = asyncio.create_task(run_worker(settings, metrics, Health(), stop))
        try:
            yield
        finally:
            stop.set()
            async with asyncio.timeout(20):
                await task

    return start


async def until_ended(redis: Redis) -> None:
    async with asyncio.timeout(60):
        # A client gives up a read after some seconds, and loading the model may take longer.
        while not await redis.xread({KEYS.events: "0"}, block=1000):
            pass


async def test_begin_asks_only_new_tasks(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 3), max_backlog=9)
    (entry, message), *_ = await take(redis)
    assert await store.begin(entry, message, max_total=LOWERED) is BeginAnswer.RUN
    for task_id, total, expected in (
        ("d2", LOWERED, BeginAnswer.RUN),
        ("d3", LOWERED + 1, BeginAnswer.TOTAL_TOO_LARGE),
    ):
        direct = messages(task_id, total)[0]
        entry = (await redis.xadd(KEYS.images, direct.to_fields())).decode()  # type: ignore[arg-type]
        assert await store.begin(entry, direct, max_total=LOWERED) is expected
    assert await store.state("d3") is None


async def test_accepted_task_is_finished(
    redis: Redis, store: TaskStore, worker: Worker, tmp_path: Path
) -> None:
    storage = Storage.open(tmp_path.as_uri())
    for message in (batch := messages("t1", 3)):
        assert message.object is not None
        await storage.put(message.object, scene_file(message.index))
    await store.submit("t1", batch, max_backlog=9)
    async with worker():
        await until_ended(redis)
    state = await store.state("t1")
    assert state is not None
    assert (state.status, len(state.results)) == (TaskStatus.COMPLETED, 3)
    assert await redis.xlen(KEYS.dead_letters) == 0


async def test_what_is_wrong_with_its_images_is_charged_to_it_at_once(
    redis: Redis, store: TaskStore, worker: Worker
) -> None:
    await store.submit("t1", messages("t1", 3), max_backlog=9)
    await redis.xtrim(KEYS.images, maxlen=0, approximate=False)
    for index in range(3):
        broken = {"v": 1, "task_id": "t1", "index": index, "total": 3, "object": "other/input/0"}
        await redis.xadd(KEYS.images, broken)  # type: ignore[arg-type]
    async with worker():
        await until_ended(redis)
    state = await store.state("t1")
    assert state is not None
    assert [error.code for error in state.errors] == [ImageErrorCode.INVALID_MESSAGE] * 3


async def test_new_task_of_too_many_images_is_refused_and_made_by_nothing(
    redis: Redis, store: TaskStore, worker: Worker
) -> None:
    whole = {"v": 1, "task_id": "d1", "index": 0, "total": 3, "image": b"x"}
    broken = {"v": 1, "task_id": "d1", "index": 1, "total": 3, "object": "other/input/0"}
    for fields in (broken, whole):
        await redis.xadd(KEYS.images, fields)  # type: ignore[arg-type]
    letters: list[Any] = []
    async with worker(), asyncio.timeout(60):
        while len(letters) < 2:
            last = letters[-1][0] if letters else "0"
            for _, rows in await redis.xread({KEYS.dead_letters: last}, block=1000):
                letters += rows
    details = {fields[b"detail"].decode(): fields[b"reason"] for _, fields in letters}
    assert details == {
        "total: more than 2": b"invalid_message",
        "message: object must be a file directly under <task_id>/input/": b"invalid_message",
    }
    assert await store.state("d1") is None
    pending: Any = await redis.xpending(KEYS.images, WORKERS_GROUP)
    assert pending["pending"] == 0
