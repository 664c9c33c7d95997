"""Sweeping storage: what has an owner stays, what has none goes."""

import random
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from redis.asyncio import Redis

from consumer.dispatcher.sweeper.failures import Failures
from consumer.dispatcher.sweeper.folders import Folder, deletable, folders
from consumer.dispatcher.sweeper.rules import PAGE, SweepRules
from consumer.metrics import DispatcherMetrics
from schemas.contract.messages import TASK_ID_PATTERN
from schemas.contract.tasks import TaskStatus
from schemas.redis.keys import Keys
from schemas.storage.layout import quarantine_prefix, task_prefix
from schemas.storage.storage import Storage, StorageError, StorageTimeoutError

log = structlog.get_logger()


class FileSweeper:
    """Deletes files of no task, originals of ended tasks, and what writes left half done.

    `step` is called before each piece of work; what it raises ends the sweep.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        storage: Storage,
        metrics: DispatcherMetrics,
        rules: SweepRules,
        *,
        step: Callable[[], None],
        failures: Failures,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._storage = storage
        self._metrics = metrics
        self._rules = rules
        self._step = step
        self._failures = failures
        self._unswept: dict[str, StorageError] = {}
        self._told: set[str] = set()

    async def sweep(self) -> None:
        """Go through all of storage once."""
        self._unswept = {}
        page: list[Folder] = []
        async with aclosing(self._folders()) as found:
            async for folder in found:
                self._step()
                page.append(folder)
                if len(page) == PAGE:
                    await self._sweep_page(page)
                    page = []
        await self._sweep_page(page)
        self._tell()

    async def _folders(self) -> AsyncGenerator[Folder, None]:
        """All tasks that have files.

        A local folder may hold what is not ours, such as the `lost+found` of a file system, and
        one listing of everything would end there: each task is listed by itself.
        """
        names = await self._storage.top_names()
        if names is None:
            async for folder in folders(self._storage.list()):
                yield folder
            return
        before = datetime.now(UTC) - timedelta(seconds=self._rules.upload_grace)
        # In no order: what comes after a folder that hangs must get its turn some time.
        for name in random.sample(names, len(names)):
            if not re.fullmatch(TASK_ID_PATTERN, name):
                continue
            self._step()
            prefix = task_prefix(name)
            with self._isolate(name):
                # A listing that fails midway shows no folder: its newest file might be missing.
                async for folder in folders(self._storage.list(prefix)):
                    yield folder
                partial = await self._storage.delete_partial(prefix, before)
                self._metrics.swept_objects.inc(partial)

    async def _sweep_page(self, page: list[Folder]) -> None:
        self._step()
        pipeline = self._redis.pipeline(transaction=False)
        for folder in page:
            pipeline.hmget(self._keys.task(folder.task_id), "status", "deleted")
        before = await self._oldest_wanted()
        answers = await pipeline.execute(raise_on_error=False)
        for folder, answer in zip(page, answers, strict=True):
            with self._failures.isolate("files", folder.task_id):
                await self._sweep_folder(folder, answer, before)

    async def _sweep_folder(self, folder: Folder, answer: Any, before: datetime) -> None:
        if isinstance(answer, Exception):
            if "WRONGTYPE" not in str(answer):
                raise answer
            answer = (None, None)  # somebody has overwritten the task, which is lost
        status, is_deleted = answer[0], answer[1] is not None
        known = None if status is None else TaskStatus(status.decode())
        prefixes = deletable(folder, known, deleted=is_deleted, before=before)
        if self._has_kept_for_long(folder, deleted=is_deleted):
            prefixes.append(quarantine_prefix(folder.task_id))
        swept = await self._delete(folder.task_id, prefixes)
        if swept:
            log.info("files swept", task_id=folder.task_id, files=swept, task=known or "gone")

    def _has_kept_for_long(self, folder: Folder, *, deleted: bool) -> bool:
        if folder.newest_kept is None:
            return False
        age = datetime.now(UTC) - folder.newest_kept
        return deleted or age > timedelta(seconds=self._rules.dead_letter_ttl)

    async def _delete(self, task_id: str, prefixes: list[str]) -> int:
        swept = 0
        with self._isolate(task_id):
            for prefix in prefixes:
                self._step()
                swept += await self._storage.delete_prefix(prefix)
        self._metrics.swept_objects.inc(swept)
        return swept

    @contextmanager
    def _isolate(self, task_id: str) -> Iterator[None]:
        """One folder that storage does not let us sweep keeps no other from it."""
        try:
            yield
        except StorageTimeoutError:
            raise  # not this folder's trouble, and each of the others would take as long
        except StorageError as error:
            self._unswept[task_id] = error

    def _tell(self) -> None:
        """Log what could not be swept, unless an earlier sweep did."""
        for task_id in sorted(self._unswept.keys() - self._told)[:1]:
            # One line, not one per folder: a disk that goes read-only is the trouble of them all.
            log.warning(
                "folders not swept", count=len(self._unswept), task_id=task_id,
                error=str(self._unswept[task_id]),
            )  # fmt: skip
        self._told = set(self._unswept)

    async def _oldest_wanted(self) -> datetime:
        """Files of no known task are kept if they are newer than this.

        The task of a direct publisher is known only when its turn has come: as long as an entry
        waits, files that are not clearly older than it may be its original.
        """
        oldest_ms = await oldest_entry_ms(self._redis, self._keys)
        since = datetime.now(UTC)
        if oldest_ms is not None and oldest_ms > since.timestamp() * 1000:
            # Its id is ahead of the clock, so it may have waited for as long as a task lives.
            since -= timedelta(seconds=self._rules.task_ttl)
        elif oldest_ms is not None:
            since = datetime.fromtimestamp(oldest_ms / 1000, UTC)
        return since - timedelta(seconds=self._rules.upload_grace)


async def oldest_entry_ms(redis: Redis, keys: Keys) -> int | None:
    """When the entry was added that has waited for longest; None if there is none."""
    rows: Any = await redis.xrange(keys.images, count=1)
    return int(rows[0][0].split(b"-")[0]) if rows else None
