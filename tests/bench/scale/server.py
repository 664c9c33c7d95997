"""The server that is measured, and what belongs to it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from redis import Redis

from schemas.redis.client import connect
from schemas.redis.keys import Keys
from schemas.redis.task_store import TaskStore
from schemas.settings.base import Settings
from tests.bench.scale.meter import Meter
from tests.support.redis_server import RedisServer

T = TypeVar("T")

KEYS = Keys("{plates}")
TASK_TTL_MS = 48 * 3_600_000
LEASE_MS = 30_000


@dataclass(frozen=True, slots=True)
class MeasuredServer:
    """A server of the bench's own, the folder of tasks' files, and one for logs."""

    redis_url: str
    storage: Path
    folder: Path
    meter: Meter

    @property
    def environment(self) -> dict[str, str]:
        """Settings with which the service's processes use it."""
        return {"REDIS_URL": self.redis_url, "TASKS_STORAGE_URL": self.storage.as_uri()}

    @staticmethod
    def run(call: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine to its end."""

        async def run() -> T:
            return await call()

        return asyncio.run(run())

    def with_store(self, call: Callable[[TaskStore], Awaitable[None]]) -> None:
        """Run a call with a store on a connection of its own."""

        async def run() -> None:
            async with connect(Settings(redis_url=self.redis_url)) as redis:
                await call(TaskStore(redis, KEYS, task_ttl_ms=TASK_TTL_MS))

        self.run(run)


@contextmanager
def measured_server(binary: str, folder: Path) -> Iterator[MeasuredServer]:
    """A server with every write on disk, as in production, for the length of a block."""
    storage = folder / "tasks_storage"
    storage.mkdir()
    (folder / "redis").mkdir()
    server = RedisServer(binary, folder / "redis")
    server.start()
    try:
        with Redis.from_url(server.url) as redis:
            yield MeasuredServer(server.url, storage, folder, Meter(redis, KEYS))
    finally:
        server.stop()
