"""A dispatcher in this process, on a real server, real files and real receivers."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from cli.admin.connection import AdminContext
from cli.admin.deliveries import DeliveryItems
from consumer.dispatcher.process import run_dispatcher
from consumer.health import Health
from consumer.metrics import DispatcherMetrics
from consumer.settings import DispatcherSettings
from producer.settings import ProducerSettings
from schemas.contract.errors import ImageErrorCode
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import ImageFailure, ImageResult
from schemas.redis.keys import WORKERS_GROUP, Keys
from schemas.redis.task_store import TaskStore
from schemas.storage.layout import input_key, output_key
from schemas.storage.storage import Storage

TTL_MS = 48 * 3_600_000


@dataclass
class World:
    """What the processes of the service share, and the workers' part of it."""

    url: str
    folder: Path
    redis: Redis
    keys: Keys
    tasks: TaskStore
    storage: Storage

    def settings(self, **values: Any) -> DispatcherSettings:
        """Settings with short waits; `values` override them."""
        return DispatcherSettings(
            _env_file=None,
            **{
                "redis_url": self.url, "tasks_storage_url": self.folder.as_uri(),
                "metrics_port": 0, "drain_seconds": 5, "lease_seconds": 1,
                "webhook_timeout_seconds": 5, "webhook_upload_timeout_seconds": 10,
                "webhook_retry_seconds": "0.05", **values,
            },
        )  # fmt: skip

    async def begin_task(self, task_id: str, total: int = 1) -> list[tuple[str, ImageMessage]]:
        """A submitted task whose images a worker has taken up; originals are in storage."""
        messages = [
            ImageMessage(task_id=task_id, index=index, total=total,
                         object=input_key(task_id, index), output=f"covered_{index}.webp")
            for index in range(total)
        ]  # fmt: skip
        for index in range(total):
            await self.storage.put(input_key(task_id, index), b"original")
        await self.tasks.submit(task_id, messages, max_backlog=1000)
        reply: Any = await self.redis.xreadgroup(
            WORKERS_GROUP, "w", {self.keys.images: ">"}, count=total
        )
        entries = [entry.decode() for entry, _ in reply[0][1]]
        for entry, message in zip(entries, messages, strict=True):
            assert await self.tasks.begin(entry, message) == "run"
        return list(zip(entries, messages, strict=True))

    async def complete_task(
        self, task_id: str, results: Sequence[tuple[str, bytes]] = (("covered_0.webp", b"RIFF"),)
    ) -> None:
        """A task all of whose images have a result, as a worker leaves it."""
        begun = await self.begin_task(task_id, len(results))
        for (entry, message), (name, data) in zip(begun, results, strict=True):
            await self.storage.put(output_key(task_id, name), data)
            public = ImageResult(filename=name, url=f"/tasks_storage/{task_id}/output/x")
            await self.tasks.finish(entry, message, public, {})

    async def fail_task(self, task_id: str) -> None:
        """A task none of whose images could be processed."""
        for entry, message in await self.begin_task(task_id):
            public = ImageFailure(
                index=0, filename="ф.jpg", code=ImageErrorCode.CORRUPT_IMAGE, detail="broken"
            )
            await self.tasks.finish(entry, message, public, {})

    async def delivery(self, task_id: str, kind: str) -> dict[str, str]:
        """The hash of a delivery."""
        row: Any = await self.redis.hgetall(self.keys.delivery(f"evt_{task_id}_{kind}"))
        return {name.decode(): value.decode() for name, value in row.items()}

    async def delivery_state(self, task_id: str, kind: str, state: str) -> dict[str, str]:
        """Wait until a delivery is in a state; Redis sends no signal for that."""

        async def reached() -> bool:
            return (await self.delivery(task_id, kind)).get("state") == state

        await eventually(reached)
        return await self.delivery(task_id, kind)

    def files(self) -> set[str]:
        """All files of storage."""
        return {
            str(Path(folder, name).relative_to(self.folder))
            for folder, _, names in os.walk(self.folder)
            for name in names
        }


def items(world: World) -> DeliveryItems:
    """The operator's view of the deliveries."""
    settings = ProducerSettings(_env_file=None)
    return DeliveryItems(AdminContext(settings, world.redis, world.keys, world.storage))


async def eventually(condition: Callable[[], Any]) -> None:
    """Ask until it is so: for what Redis and the file system give no signal of."""
    async with asyncio.timeout(15):
        while not await condition():
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def short_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop waits for the blocking read; not a second in each test."""
    monkeypatch.setattr("consumer.dispatcher.events.READ_BLOCK_SECONDS", 0.1)


@pytest.fixture
async def world(redis_server: str, tmp_path: Path) -> AsyncIterator[World]:
    async with opened_world(redis_server, tmp_path / "storage") as opened:
        yield opened


@asynccontextmanager
async def opened_world(url: str, folder: Path) -> AsyncIterator[World]:
    keys = Keys("{plates}")
    # The test's own client outlasts a server that the test itself killed.
    async with Redis.from_url(url, retry=Retry(ConstantBackoff(0.1), 50)) as redis:
        await redis.xgroup_create(keys.images, WORKERS_GROUP, "0", mkstream=True)
        tasks = TaskStore(redis, keys, task_ttl_ms=TTL_MS)
        yield World(url, folder, redis, keys, tasks, Storage.open(folder.as_uri()))


@dataclass
class Running:
    """A dispatcher at work."""

    task: asyncio.Task[None]
    stop: asyncio.Event
    registry: CollectorRegistry

    async def crash(self) -> None:
        """End it wherever it is: nothing is finished, nothing recorded."""
        self.task.cancel()
        await asyncio.wait([self.task], timeout=1)
        # A cancellation that arrives inside a Redis call may be swallowed there, and a task group
        # passes on only the first one.
        self.stop.set()
        await asyncio.gather(self.task, return_exceptions=True)

    async def finish(self, within_seconds: float = 10) -> None:
        """Stop it as SIGTERM does."""
        self.stop.set()
        async with asyncio.timeout(within_seconds):
            await self.task

    def count(self, name: str, **labels: str) -> float:
        """A figure of its metrics."""
        return self.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def dispatching(settings: DispatcherSettings) -> AsyncIterator[Running]:
    """A dispatcher for the length of a block; that it ends cleanly is part of each test."""
    stop, registry = asyncio.Event(), CollectorRegistry()
    task = asyncio.create_task(
        run_dispatcher(settings, DispatcherMetrics(registry), Health(), stop)
    )
    running = Running(task, stop, registry)
    try:
        yield running
        if not task.done():
            await running.finish()
    finally:
        await running.crash()
