"""A worker in this process, on a real server and a real folder, mostly with the stand-in."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from consumer.health import Health
from consumer.metrics import WorkerMetrics
from consumer.settings import WorkerSettings
from consumer.vision.networks import Networks
from consumer.worker.process import networks_of, run_worker
from schemas.contract.tasks import TaskState
from schemas.redis.keys import Keys
from schemas.redis.task_store import TaskStore
from schemas.storage.storage import Storage
from tests.support.stand_in import StandInDetector

KEYS = Keys("{plates}")


@dataclass
class Bench:
    """What a test of the worker works with."""

    redis: Redis
    store: TaskStore
    storage: Storage
    folder: Path
    settings: WorkerSettings

    async def publish(self, **fields: str | bytes | int) -> str:
        """XADD, as a service would that knows only the contract."""
        entry: bytes = await self.redis.xadd(KEYS.images, {"v": "1", **fields})  # type: ignore[arg-type]
        return entry.decode()

    async def event(self, task_id: str) -> dict[bytes, bytes]:
        """Wait for a task's completion event."""
        last = "0"
        async with asyncio.timeout(30):
            while True:
                answer: Any = await self.redis.xread({KEYS.events: last}, block=1000)
                for entry, fields in answer[0][1] if answer else []:
                    last = entry
                    if fields[b"task_id"] == task_id.encode():
                        return dict(fields)

    async def final(self, task_id: str) -> TaskState:
        """Wait for a task's end."""
        await self.event(task_id)
        state = await self.store.state(task_id)
        assert state is not None
        return state

    async def until_settled(self) -> None:
        """Wait until no entry is waiting or in flight."""
        async with asyncio.timeout(30):
            while await self.store.backlog():
                await asyncio.sleep(0.02)

    def result(self, task_id: str, name: str) -> bytes:
        """Return a stored result."""
        return (self.folder / task_id / "output" / name).read_bytes()


@pytest.fixture
async def bench(redis_server: str, tmp_path: Path) -> AsyncIterator[Bench]:
    settings = WorkerSettings(
        redis_url=redis_server, tasks_storage_url=tmp_path.as_uri(), lease_seconds=1,
        metrics_port=0, drain_seconds=10,
    )  # fmt: skip
    async with Redis.from_url(redis_server) as redis:
        store = TaskStore(redis, KEYS, task_ttl_ms=settings.task_ttl_ms)
        yield Bench(redis, store, Storage.open(settings.storage_url), tmp_path, settings)


Start = Callable[..., AbstractAsyncContextManager[WorkerMetrics]]


STAND_IN = Networks(StandInDetector())


@pytest.fixture(scope="session")
def model() -> Networks:
    """The real networks, loaded once."""
    return networks_of(WorkerSettings(inference_threads=1))


@pytest.fixture
def worker(bench: Bench) -> Start:
    """Start a worker for the length of a block, with networks or, if None, the settings' models.

    At the end of the block it must stop by itself.
    """

    @asynccontextmanager
    async def start(
        networks: Networks | None = STAND_IN, health: Health | None = None, **changes: object
    ) -> AsyncIterator[WorkerMetrics]:
        metrics, stop = WorkerMetrics(CollectorRegistry()), asyncio.Event()
        settings = bench.settings.model_copy(update=changes)
        task = asyncio.create_task(
            run_worker(settings, metrics, health or Health(), stop, networks)
        )
        try:
            yield metrics
        finally:
            stop.set()
            async with asyncio.timeout(20):
                await task

    return start
