"""The values of /metrics that are read when Prometheus asks: Redis, storage, problems."""

import asyncio
import math
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from producer.metrics import Metrics
from producer.services.readiness import Readiness
from schemas.redis.corrections import CorrectionStore
from schemas.redis.reviews import ReviewQueue
from schemas.redis.server_memory import server_memory
from schemas.redis.task_store import TaskStore
from schemas.storage.storage import Storage, StorageError

_SECONDS = 4.0
"""Time limit of each group of values. A scrape of Prometheus waits 10 seconds by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Reads the values; one that cannot be read is NaN, since unknown is not zero."""

    redis: Redis
    store: TaskStore
    reviews: ReviewQueue
    corrections: CorrectionStore
    storage: Storage
    readiness: Readiness

    async def update(self, metrics: Metrics) -> None:
        """Set the metrics to the present values."""
        await asyncio.gather(self._work(metrics), self._server(metrics), self._ready(metrics))

    async def _work(self, metrics: Metrics) -> None:
        gauges = (
            metrics.backlog, metrics.backlog_age, metrics.open_tasks,
            metrics.reviews, metrics.corrections,
        )  # fmt: skip
        values = [math.nan] * len(gauges)
        try:
            async with asyncio.timeout(_SECONDS):
                values = [
                    await self.store.backlog(),
                    await self.store.backlog_age_ms() / 1000,
                    await self.store.open_tasks(),
                    await self.reviews.length(),
                    await self.corrections.waiting(),
                ]
        except (RedisError, TimeoutError):
            pass
        for gauge, value in zip(gauges, values, strict=True):
            gauge.set(value)

    async def _server(self, metrics: Metrics) -> None:
        used = limit = math.nan
        try:
            async with asyncio.timeout(_SECONDS):
                used, limit = await server_memory(self.redis)
        except (RedisError, TimeoutError):  # also if the user may not call INFO
            pass
        metrics.redis_used.set(used)
        metrics.redis_limit.set(limit)

    async def _ready(self, metrics: Metrics) -> None:
        metrics.problems.set(len(await self.readiness.problems()))
        free = size = math.nan
        try:
            async with asyncio.timeout(_SECONDS):
                if (space := await self.storage.space()) is not None:
                    free, size = space
        except (StorageError, TimeoutError):
            pass
        metrics.storage_free.set(free)
        metrics.storage_size.set(size)
