"""What the handlers work with; built once by the app factory."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import TypeVar

from aiohttp import web
from redis.asyncio import Redis

from producer.errors import RedisAwayError
from producer.handlers.completions import Completions
from producer.handlers.readiness import Readiness
from producer.metrics import Metrics
from producer.settings import ProducerSettings
from producer.uploads.idempotency import IdempotencyKeys
from producer.uploads.upload_service import UploadService
from schemas.redis.keys import Keys
from schemas.redis.task_store import TaskStore
from schemas.storage.storage import Storage

# Shorter than the client's own limits times its repeats: somebody waits for an answer.
_REDIS_PATIENCE_SECONDS = 5.0

T = TypeVar("T")


class InFlight:
    """Counts the requests that are being answered: `with in_flight: …`."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self._count += 1
        self._none.clear()

    def __exit__(self, *_: object) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def none_within(self, seconds: float) -> bool:
        """Wait until there is none; False if that takes too long."""
        try:
            async with asyncio.timeout(seconds):
                return await self._none.wait()
        except TimeoutError:
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Connections and shared state of one producer process."""

    settings: ProducerSettings
    redis: Redis
    keys: Keys
    store: TaskStore
    storage: Storage
    metrics: Metrics
    intake: UploadService
    idempotency: IdempotencyKeys
    event_streams: asyncio.Semaphore
    readiness: Readiness
    completions: Completions
    in_flight: InFlight = field(default_factory=InFlight)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


SERVICES = web.AppKey("services", Services)


async def ask_redis(question: Awaitable[T]) -> T:
    """Wait for Redis, but not for long; raises RedisAwayError."""
    try:
        async with asyncio.timeout(_REDIS_PATIENCE_SECONDS):
            return await question
    except TimeoutError:
        raise RedisAwayError from None
