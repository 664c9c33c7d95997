"""Everything that the routes use, opened and closed together."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from aiohttp import web

from producer.errors import RedisUnavailableError
from producer.metrics import Metrics
from producer.services.completions import READ_BLOCK_SECONDS, Completions
from producer.services.idempotency import IdempotencyKeys
from producer.services.measurements import Measurements
from producer.services.readiness import Readiness
from producer.services.shutdown import RequestsInFlight, ShieldedTasks
from producer.services.submit import Submitter
from producer.services.uploads import UploadService
from producer.settings import ProducerSettings
from schemas.redis.client import connect, connect_blocking
from schemas.redis.corrections import CorrectionStore
from schemas.redis.keys import Keys
from schemas.redis.reviews import ReviewQueue
from schemas.redis.task_store import TaskStore
from schemas.storage.storage import Storage

SUBMIT_SECONDS = 20.0
# Shorter than the client's own limits times its repeats: the HTTP client is waiting.
_REDIS_SECONDS = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Connections and shared state of one producer process."""

    settings: ProducerSettings
    store: TaskStore
    storage: Storage
    uploads: UploadService
    idempotency: IdempotencyKeys
    readiness: Readiness
    measurements: Measurements
    completions: Completions
    corrections: CorrectionStore
    reviews: ReviewQueue
    event_streams: asyncio.Semaphore
    metrics: Metrics = field(default_factory=Metrics)
    in_flight: RequestsInFlight = field(default_factory=RequestsInFlight)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)


SERVICES = web.AppKey("services", Services)


async def with_timeout(request: Awaitable[T]) -> T:
    """Return the response of Redis; raises RedisUnavailableError if it takes too long."""
    try:
        async with asyncio.timeout(_REDIS_SECONDS):
            return await request
    except TimeoutError:
        raise RedisUnavailableError from None


@asynccontextmanager
async def open_services(settings: ProducerSettings) -> AsyncIterator[Services]:
    """Give the services within the block; its end waits for clean-ups."""
    keys, cleanups = Keys(settings.key_prefix), ShieldedTasks()
    storage = Storage.open(settings.storage_url)
    async with (
        connect(settings) as redis,
        # Submits run on a client that repeats nothing by itself: see Submitter.
        connect_blocking(settings, block_seconds=0) as submit_redis,
        connect_blocking(settings, READ_BLOCK_SECONDS) as event_redis,
    ):
        store = TaskStore(redis, keys, task_ttl_ms=settings.task_ttl_ms)
        submitter = Submitter(
            TaskStore(submit_redis, keys, task_ttl_ms=settings.task_ttl_ms),
            max_backlog=settings.max_backlog_images,
            timeout_seconds=SUBMIT_SECONDS,
        )
        completions = Completions(event_redis, keys.events)
        readiness = Readiness(store, storage, max_backlog=settings.max_backlog_images)
        corrections = CorrectionStore(redis, keys, task_ttl_ms=settings.task_ttl_ms)
        reviews = ReviewQueue(redis, keys)
        async with completions.running():
            yield Services(
                settings=settings,
                store=store,
                storage=storage,
                uploads=UploadService(storage, submitter, cleanups, settings),
                idempotency=IdempotencyKeys(
                    store, cleanups, lease_seconds=settings.idempotency_lease_seconds
                ),
                readiness=readiness,
                measurements=Measurements(
                    redis=redis,
                    store=store,
                    reviews=reviews,
                    corrections=corrections,
                    storage=storage,
                    readiness=readiness,
                ),
                completions=completions,
                corrections=corrections,
                reviews=reviews,
                event_streams=asyncio.Semaphore(settings.max_event_streams),
            )
        await cleanups.close()
