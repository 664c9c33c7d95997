"""Recurring jobs that no single task's life triggers. Safe to run in many processes at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumer.dispatcher.deliveries import DeliveryStore
from consumer.dispatcher.sweeper.failures import Failures
from consumer.dispatcher.sweeper.files import FileSweeper
from consumer.dispatcher.sweeper.forgotten import ForgottenWork
from consumer.dispatcher.sweeper.rules import PAGE, SweepRules
from consumer.dispatcher.sweeper.stranded import StrandedEntries
from consumer.metrics import DispatcherMetrics
from schemas.redis.keys import DISPATCHER_GROUP, WORKERS_GROUP, Keys
from schemas.redis.scripts import Scripts
from schemas.redis.task_store import TaskStore
from schemas.retry import StoppedError
from schemas.storage.storage import Storage

log = structlog.get_logger()

JOB_SECONDS = 900.0
"""Longest idle time within a job: a listing may go through much that belongs to no task."""

TASKS_PER_ROUND = 1000
"""Most tasks of one round whose images all turn out to be in the stream. With a large backlog all
tasks are silent; the next round goes on where this one ended."""

LISTING_SHARE = 0.05
"""Most of the time that storage may be busy being listed; a large one is swept less often."""

REDIS_SHARE = 0.2
"""Most of the time that a sweep of Redis may take, likewise: it waits for answers, mostly."""


class Sweeper:
    """Cleans up what has no other owner: files, silent tasks, silent consumers, old events."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        tasks: TaskStore,
        deliveries: DeliveryStore,
        *,
        storage: Storage,
        metrics: DispatcherMetrics,
        rules: SweepRules,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._tasks = tasks
        self._deliveries = deliveries
        self._metrics = metrics
        self._rules = rules
        self._scripts = Scripts(redis, keys)
        self._failures = Failures(metrics)
        self._file_failures = Failures(metrics)
        self._files = FileSweeper(
            redis, keys, storage, metrics, rules, step=self._step, failures=self._file_failures
        )
        self._stranded = StrandedEntries(redis, keys, metrics, idle_ms=int(rules.lease * 1000))
        self._forgotten = ForgottenWork(
            redis, keys, metrics, self._failures, max_age_ms=int(rules.task_ttl * 1000)
        )
        self._asked_in_vain = 0
        self._stop = asyncio.Event()

    async def sweep(self, stop: asyncio.Event | None = None) -> float:
        """Do the jobs that are due and nobody else does; returns seconds until the next round.

        `stop` ends a sweep under way: a large storage takes longer than a process has to end. What
        is left is found by the next sweep, of whichever process.
        """
        self._stop = stop or self._stop
        try:
            self._step()
            await self._if_due("redis", self._sweep_redis, REDIS_SHARE)
            self._step()
            await self._if_due("files", self._sweep_files, LISTING_SHARE)
            self._step()
        except StoppedError:
            log.info("sweep left to the next one")
        return self._rules.sweep_interval

    def _step(self) -> None:
        """Show that the sweep goes on, unless it must not: then StoppedError."""
        self._metrics.beat("sweep", self._rules.sweep_interval + JOB_SECONDS)
        if self._stop.is_set():
            raise StoppedError

    async def _if_due(self, name: str, job: Callable[[], Awaitable[None]], share: float) -> None:
        started = time.monotonic()
        # Slightly shorter than the interval, or a process would meet its own mark every other time.
        hold_ms = max(1, int(self._rules.sweep_interval * 900))
        if not await self._scripts.acquire_lock(name, hold_ms=hold_ms):
            return
        await job()
        rest_ms = int((time.monotonic() - started) / share * 1000)
        if rest_ms > hold_ms:
            await self._scripts.acquire_lock(name, hold_ms=rest_ms, extend=True)

    async def _sweep_redis(self) -> None:
        seconds, microseconds = await self._redis.time()
        now_ms = seconds * 1000 + microseconds // 1000
        oldest_ms = now_ms - int(self._rules.task_ttl * 1000)
        oldest_letter_ms = now_ms - int(self._rules.dead_letter_ttl * 1000)
        keys = self._keys
        await self._do(
            {
                "forgotten": self._forgotten.look,
                "stranded images": self._stranded.adopt_images,
                "stranded events": self._stranded.adopt_events,
                "restore": lambda: self._restore_images(now_ms),
                "expire": lambda: self._expire_tasks(now_ms),
                "workers": lambda: self._reap(keys.images, WORKERS_GROUP),
                "dispatchers": lambda: self._reap(keys.events, DISPATCHER_GROUP),
                # Exact, so that an event never outlives the memory of its deliveries.
                "events": lambda: self._trim(keys.events, oldest_ms),
                "dead letters": lambda: self._trim(keys.dead_letters, oldest_letter_ms),
                "deliveries": lambda: self._deliveries.forget_unowned(oldest_ms),
            },
            self._failures,
        )

    async def _sweep_files(self) -> None:
        await self._do({"files": self._files.sweep}, self._file_failures)

    async def _do(
        self, jobs: dict[str, Callable[[], Awaitable[object]]], failures: Failures
    ) -> None:
        """Do one job after the other; one that fails keeps none of the others from its turn."""
        failures.begin_round()
        for name, job in jobs.items():
            self._step()
            with failures.isolate(name):
                await job()
        failures.report()

    async def _trim(self, stream: str, oldest_ms: int) -> None:
        await self._redis.xtrim(stream, minid=oldest_ms, approximate=False)

    async def _restore_images(self, now_ms: int) -> None:
        """Add open images again that the stream has lost, so that they need not time out.

        What a worker still holds is given a lease to end.
        """
        silent_ms = int(self._rules.lease * 1000)
        before_ms, in_vain = now_ms - silent_ms, 0
        while in_vain < TASKS_PER_ROUND:
            task_ids = await self._silent(before_ms, self._asked_in_vain)
            if not task_ids:
                self._asked_in_vain = 0
                return
            for task_id in task_ids:
                self._step()
                added = 0
                with self._failures.isolate("restore", task_id):
                    added = await self._tasks.restore(task_id, silent_ms=silent_ms)
                in_vain += not added
                self._asked_in_vain += not added
                self._metrics.restored_images.inc(added)
                if added:
                    log.warning("images added to the stream again", task_id=task_id, images=added)

    async def _expire_tasks(self, now_ms: int) -> None:
        """Fail tasks whose images will never come, and keep the others from running out of TTL."""
        rules = self._rules
        silent_ms = int(min(rules.task_timeout, rules.task_ttl / 4) * 1000)
        kept, task_ids = 0, await self._silent(now_ms - silent_ms, 0)
        while task_ids:
            for task_id in task_ids:
                self._step()
                answer = "failing"
                with self._failures.isolate("expire", task_id):
                    answer = await self._tasks.expire(
                        task_id, timeout_ms=int(rules.task_timeout * 1000)
                    )
                kept += answer in ("active", "queued", "failing")
                if answer in ("completed", "failed"):
                    self._metrics.expired_tasks.inc()
                    log.warning("task timed out", task_id=task_id, status=answer)
            task_ids = await self._silent(now_ms - silent_ms, kept)

    async def _silent(self, before_ms: int, skip: int) -> list[str]:
        self._step()
        rows: Any = await self._redis.zrangebyscore(
            self._keys.open_tasks, "-inf", before_ms, start=skip, num=PAGE
        )
        names = []
        for row in rows:
            try:
                names.append(row.decode())
            except UnicodeDecodeError:
                # No task can be called so, and nothing else would ever remove it.
                await self._redis.zrem(self._keys.open_tasks, row)
        return names

    async def _reap(self, stream: str, group: str) -> None:
        try:
            gone = await self._scripts.reap(
                stream, group, min_idle_ms=int(self._rules.consumer_idle * 1000)
            )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
        else:
            if gone:
                log.info("silent consumers forgotten", group=group, count=len(gone))
