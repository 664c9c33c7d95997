"""Recurring chores that no single task's life triggers. Safe to run in many processes at once."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumer.dispatcher.deliveries import DeliveryStore
from consumer.metrics import DispatcherMetrics
from schemas import scripts
from schemas.keys import DISPATCHER_GROUP, WORKERS_GROUP, Keys
from schemas.layout import input_prefix, output_prefix, quarantine_prefix
from schemas.storage import Storage
from schemas.store import TaskStore
from schemas.tasks import TaskStatus

log = structlog.get_logger()

PAGE = 200
"""Tasks asked about in one round trip."""

CHORE_SECONDS = 900.0
"""Longest silence within a chore: looking for half-written files walks through all of storage."""

LISTING_SHARE = 0.05
"""Most of the time that storage may be busy being listed; a large one is swept less often."""


@dataclass(slots=True)
class Folder:
    """What a listing shows of one task: the times of its last change, and if originals are left.

    `newest_kept` is that of the originals in quarantine, None without any.
    """

    task_id: str
    newest: datetime
    has_inputs: bool
    newest_kept: datetime | None = None


@dataclass(frozen=True, slots=True)
class SweepRules:
    """Ages and intervals in seconds, as the settings of the same names."""

    sweep_interval: float
    lease: float
    upload_grace: float
    task_timeout: float
    consumer_idle: float
    task_ttl: float
    dead_letter_ttl: float


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
        self._storage = storage
        self._metrics = metrics
        self._rules = rules
        self._turn = redis.register_script(scripts.source("take_turn"))

    async def sweep(self) -> float:
        """Do the chores that are due and nobody else does; returns seconds until the next look."""
        self._beat()
        await self._if_due("redis", self._sweep_redis)
        self._beat()
        await self._if_due("files", self._sweep_files)
        self._beat()
        return self._rules.sweep_interval

    def _beat(self) -> None:
        self._metrics.beat("sweep", self._rules.sweep_interval + CHORE_SECONDS)

    async def _if_due(self, name: str, chore: Callable[[], Awaitable[None]]) -> None:
        key, started = self._keys.chore(name), time.monotonic()
        # Slightly shorter than the interval, or a process would meet its own mark every other time.
        hold_ms = max(1, int(self._rules.sweep_interval * 900))
        if not await self._turn(keys=[key], args=[hold_ms, "take"]):
            return
        await chore()
        rest_ms = int((time.monotonic() - started) / LISTING_SHARE * 1000)
        if rest_ms > hold_ms:
            await self._turn(keys=[key], args=[rest_ms, "extend"])

    async def _sweep_redis(self) -> None:
        seconds, microseconds = await self._redis.time()
        now_ms = seconds * 1000 + microseconds // 1000
        await self._restore_images(now_ms)
        await self._expire_tasks(now_ms)
        await self._reap(self._keys.images, WORKERS_GROUP)
        await self._reap(self._keys.events, DISPATCHER_GROUP)
        oldest_ms = now_ms - int(self._rules.task_ttl * 1000)
        # Exact, so that an event never outlives the memory of its deliveries.
        await self._redis.xtrim(self._keys.events, minid=oldest_ms, approximate=False)
        oldest_letter_ms = now_ms - int(self._rules.dead_letter_ttl * 1000)
        await self._redis.xtrim(self._keys.dead_letters, minid=oldest_letter_ms, approximate=False)
        await self._deliveries.forget_unowned(oldest_ms)

    async def _restore_images(self, now_ms: int) -> None:
        """Add open images again that the stream has lost, so that they need not time out.

        A task all of whose entries are gone has been silent for longer than the stream's oldest
        entry waits. What a worker still holds is given a lease to end.
        """
        silent_ms = int(self._rules.lease * 1000)
        oldest_ms = await self._oldest_entry_ms()
        before_ms = min(now_ms - silent_ms, now_ms if oldest_ms is None else oldest_ms - 1)
        kept, task_ids = 0, await self._silent(before_ms, 0)
        while task_ids:
            for task_id in task_ids:
                added = await self._tasks.restore(task_id, silent_ms=silent_ms)
                kept += not added
                self._metrics.restored_images.inc(added)
                if added:
                    log.warning("images added to the stream again", task_id=task_id, images=added)
            task_ids = await self._silent(before_ms, kept)

    async def _expire_tasks(self, now_ms: int) -> None:
        """Fail tasks whose images will never come, and keep the others from running out of TTL."""
        rules = self._rules
        silent_ms = int(min(rules.task_timeout, rules.task_ttl / 4) * 1000)
        kept, task_ids = 0, await self._silent(now_ms - silent_ms, 0)
        while task_ids:
            for task_id in task_ids:
                answer = await self._tasks.expire(
                    task_id, timeout_ms=int(rules.task_timeout * 1000)
                )
                kept += answer in ("active", "queued")
                if answer in ("completed", "failed"):
                    self._metrics.expired_tasks.inc()
                    log.warning("task timed out", task_id=task_id, status=answer)
            task_ids = await self._silent(now_ms - silent_ms, kept)

    async def _silent(self, before_ms: int, skip: int) -> list[str]:
        self._beat()
        rows: Any = await self._redis.zrangebyscore(
            self._keys.open_tasks, "-inf", before_ms, start=skip, num=PAGE
        )
        return [row.decode() for row in rows]

    async def _reap(self, stream: str, group: str) -> None:
        try:
            gone = await self._tasks.reap(
                stream, group, min_idle_ms=int(self._rules.consumer_idle * 1000)
            )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
        else:
            if gone:
                log.info("silent consumers forgotten", group=group, count=len(gone))

    async def _sweep_files(self) -> None:
        page: list[Folder] = []
        async for folder in folders(self._storage.list()):
            page.append(folder)
            if len(page) == PAGE:
                await self._sweep_page(page)
                page = []
        await self._sweep_page(page)
        before = datetime.now(UTC) - timedelta(seconds=self._rules.upload_grace)
        self._metrics.swept_objects.inc(await self._storage.delete_partial(before))

    async def _sweep_page(self, page: list[Folder]) -> None:
        self._beat()
        pipeline = self._redis.pipeline(transaction=False)
        for folder in page:
            pipeline.hmget(self._keys.task(folder.task_id), "status", "deleted")
        before = await self._oldest_wanted()
        kept_since = datetime.now(UTC) - timedelta(seconds=self._rules.dead_letter_ttl)
        for folder, (status, deleted) in zip(page, await pipeline.execute(), strict=True):
            known = None if status is None else TaskStatus(status.decode())
            swept = 0
            prefixes = doomed(folder, known, deleted=deleted is not None, before=before)
            if folder.newest_kept and (deleted is not None or folder.newest_kept < kept_since):
                prefixes.append(quarantine_prefix(folder.task_id))
            for prefix in prefixes:
                self._beat()
                swept += await self._storage.delete_prefix(prefix)
            self._metrics.swept_objects.inc(swept)
            if swept:
                log.info("files swept", task_id=folder.task_id, files=swept, task=known or "gone")

    async def _oldest_wanted(self) -> datetime:
        """Files of no known task are kept if they are newer than this.

        The task of a direct publisher is known only when its turn has come: as long as an entry
        waits, files that are not clearly older than it may be its original.
        """
        oldest_ms = await self._oldest_entry_ms()
        since = datetime.now(UTC)
        if oldest_ms is not None:
            since = min(since, datetime.fromtimestamp(oldest_ms / 1000, UTC))
        return since - timedelta(seconds=self._rules.upload_grace)

    async def _oldest_entry_ms(self) -> int | None:
        """When the entry was added that has waited for longest; None if there is none."""
        rows: Any = await self._redis.xrange(self._keys.images, count=1)
        return int(rows[0][0].split(b"-")[0]) if rows else None


def doomed(
    folder: Folder, status: TaskStatus | None, *, deleted: bool, before: datetime
) -> list[str]:
    """Prefixes of a task's folder that must go.

    Args:
        status: None if there is no such task: it has run out, or its upload never came to its end.
        deleted: whether the task was deleted on request.
        before: files of no task are kept until all of them are older than this.
    """
    everything = [input_prefix(folder.task_id), output_prefix(folder.task_id)]
    if status is None:
        return everything if folder.newest < before else []
    if deleted:
        return everything
    return everything[:1] if status.is_final and folder.has_inputs else []


async def folders(listing: AsyncIterator[tuple[str, datetime]]) -> AsyncIterator[Folder]:
    """Tasks of a listing, one at a time: storage lists what shares a prefix in one piece.

    Anything that does not lie where a task's files do belongs to somebody else and is passed over.
    """
    current: Folder | None = None
    async for key, changed in listing:
        parts = key.split("/")
        if len(parts) != 3 or parts[1] not in ("input", "output", "quarantine"):
            continue
        if current is None or current.task_id != parts[0]:
            if current is not None:
                yield current
            current = Folder(parts[0], changed, has_inputs=False)
        if parts[1] == "quarantine":
            current.newest_kept = max(current.newest_kept or changed, changed)
            continue
        current.newest = max(current.newest, changed)
        current.has_inputs |= parts[1] == "input"
    if current is not None:
        yield current
