"""The sweeper's jobs, and which process does them when."""

import time
from collections.abc import Awaitable, Callable

import structlog

from consumer.dispatcher.sweeper.context import SweepContext
from consumer.dispatcher.sweeper.files import FileJobs
from consumer.dispatcher.sweeper.streams import StreamJobs
from consumer.dispatcher.sweeper.tasks import TaskJobs
from schemas.redis.keys import DISPATCHER_GROUP, WORKERS_GROUP
from schemas.redis.scripts import Scripts
from schemas.retry import StoppedError

log = structlog.get_logger()

LISTING_SHARE = 0.05
"""Maximum share of the time in which storage is being listed: a large one is swept less often."""

REDIS_SHARE = 0.2
"""The same for a sweep of Redis, which mostly waits for responses."""

Jobs = dict[str, Callable[[], Awaitable[None]]]


class Sweeper:
    """Cleans up what nothing else does: files, inactive tasks, idle consumers, old events."""

    def __init__(self, context: SweepContext) -> None:
        self._context = context
        keys, settings = context.keys, context.settings
        streams, tasks, files = StreamJobs(context), TaskJobs(context), FileJobs(context)
        self._redis_jobs: Jobs = {
            "forgotten": tasks.put_back,
            "stranded images": lambda: streams.adopt_entries(keys.images),
            "stranded corrections": lambda: streams.adopt_entries(keys.corrections),
            "stranded events": streams.adopt_events,
            "restore": tasks.restore,
            "expire": tasks.expire,
            "workers": lambda: streams.reap(keys.images, WORKERS_GROUP),
            "correctors": lambda: streams.reap(keys.corrections, WORKERS_GROUP),
            "dispatchers": lambda: streams.reap(keys.events, DISPATCHER_GROUP),
            "events": lambda: streams.trim(keys.events, settings.task_storage_ttl_hours),
            "dead letters": lambda: streams.trim(keys.dead_letters, settings.dead_letter_ttl_hours),
            "deliveries": streams.forget_deliveries,
            "reviews": tasks.forget_reviews,
        }
        self._file_jobs: Jobs = {"files": files.sweep}
        for job in (*self._redis_jobs, *self._file_jobs):
            context.metrics.sweep_failures.labels(job)
        self._scripts = Scripts(context.redis, keys)

    async def sweep(self) -> float:
        """Do the jobs that are due and that no other process does.

        Returns the seconds until the next sweep.
        """
        try:
            await self._if_due("redis", self.sweep_redis, REDIS_SHARE)
            await self._if_due("files", lambda: self._do(self._file_jobs), LISTING_SHARE)
        except StoppedError:
            log.info("sweep stopped, the next one continues it")
        return self._context.settings.sweep_interval_seconds

    async def sweep_redis(self) -> None:
        """Do all jobs on what is in Redis."""
        await self._do(self._redis_jobs)

    async def _if_due(self, name: str, sweep: Callable[[], Awaitable[None]], share: float) -> None:
        self._context.step()
        started = time.monotonic()
        # Slightly shorter than the interval: otherwise a process would find its own lock at every
        # second sweep.
        hold_ms = max(1, int(self._context.settings.sweep_interval_seconds * 900))
        if not await self._scripts.acquire_lock(name, hold_ms=hold_ms):
            return
        await sweep()
        rest_ms = int((time.monotonic() - started) / share * 1000)
        if rest_ms > hold_ms:
            await self._scripts.acquire_lock(name, hold_ms=rest_ms, extend=True)

    async def _do(self, jobs: Jobs) -> None:
        """Do one job after the other; one that fails does not stop the others."""
        for name, job in jobs.items():
            self._context.step()
            with self._context.job(name):
                await job()
