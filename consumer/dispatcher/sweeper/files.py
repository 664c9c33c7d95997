"""The job on storage: it deletes files of no task, originals of ended tasks, replaced results, and
partial writes.
"""

import random
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog

from consumer.dispatcher.sweeper.context import PAGE, SweepContext
from schemas.contract.messages import TASK_ID_PATTERN
from schemas.contract.tasks import TaskStatus
from schemas.storage.layout import (
    input_prefix,
    output_key,
    output_prefix,
    quarantine_prefix,
    task_prefix,
)

log = structlog.get_logger()


@dataclass(slots=True)
class Folder:
    """What a listing shows of one task: the time of its last change, and what it contains.

    `keys`: of all its files. `outputs`: the files of results, each with the time of its last
    change. `newest_kept` is the time of the newest original in quarantine, None without any.
    """

    task_id: str
    newest: datetime
    keys: list[str] = field(default_factory=list)
    has_inputs: bool = False
    outputs: dict[str, datetime] = field(default_factory=dict)
    newest_kept: datetime | None = None


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Files of one task that are to be deleted; `task`: its status."""

    task_id: str
    task: str
    keys: list[str]


class FileJobs:
    """Sweeps storage, a page of tasks at a time."""

    def __init__(self, context: SweepContext) -> None:
        self._context = context
        self._storage = context.storage
        self._settings = context.settings

    async def sweep(self) -> None:
        """Go through all of storage once."""
        page: list[Folder] = []
        async with aclosing(self._folders()) as found:
            async for folder in found:
                self._context.step()
                page.append(folder)
                if len(page) == PAGE:
                    await self._sweep_page(page)
                    page = []
        await self._sweep_page(page)

    async def _folders(self) -> AsyncGenerator[Folder, None]:
        """Yield all tasks that have files.

        A local folder may hold foreign entries, such as the `lost+found` of a file system, at which
        one listing of everything would fail: each task is listed by itself.
        """
        names = await self._storage.top_names()
        if names is None:
            async for folder in folders(self._storage.list()):
                yield folder
            return
        before = self._ago(self._settings.upload_grace_seconds)
        # In random order: what comes after a folder that hangs must be reached in another pass.
        for name in random.sample(names, len(names)):
            if not re.fullmatch(TASK_ID_PATTERN, name):
                continue
            self._context.step()
            prefix = task_prefix(name)
            with self._context.isolated("files", name):
                # A listing that fails midway yields no folder: its newest file might be missing.
                async for folder in folders(self._storage.list(prefix)):
                    yield folder
                partial = await self._storage.delete_partial(prefix, before)
                self._context.metrics.swept_objects.inc(partial)

    async def _sweep_page(self, page: list[Folder]) -> None:
        self._context.step()
        pipeline = self._context.redis.pipeline(transaction=False)
        for folder in page:
            task = self._context.keys.task(folder.task_id)
            pipeline.hmget(task, "status", "deleted", "is_corrected")
        before = await self._oldest_wanted()
        replies = await pipeline.execute(raise_on_error=False)
        unwanted = []
        for folder, reply in zip(page, replies, strict=True):
            with self._context.isolated("files", folder.task_id):
                unwanted.append(await self._unwanted(folder, reply, before))
        for batch in _batches(unwanted, self._storage.delete_batch):
            with self._context.isolated("files", batch[0].task_id):
                await self._delete(batch)

    async def _unwanted(self, folder: Folder, reply: Any, before: datetime) -> Unwanted:
        if isinstance(reply, Exception):
            if "WRONGTYPE" not in str(reply):
                raise reply
            reply = (None, None, None)  # the key was overwritten: the task is lost
        status = None if reply[0] is None else TaskStatus(reply[0].decode())
        prefixes = deletable(
            folder, status, deleted=reply[1] is not None, before=before,
            kept_before=self._ago(self._settings.dead_letter_ttl_hours * 3600),
        )  # fmt: skip
        keys = [key for key in folder.keys if key.startswith(tuple(prefixes))]
        if reply[2] is not None:
            keys += [key for key in await self._obsolete(folder) if key not in keys]
        return Unwanted(folder.task_id, status or "gone", keys)

    async def _delete(self, batch: list[Unwanted]) -> None:
        """Delete files of several tasks, of a bucket in one request."""
        self._context.step()
        await self._storage.delete(*(key for one in batch for key in one.keys))
        for one in batch:
            self._context.metrics.swept_objects.inc(len(one.keys))
            await self._storage.delete_empty_folders(task_prefix(one.task_id))
            log.info("files swept", task_id=one.task_id, files=len(one.keys), task=one.task)

    async def _obsolete(self, folder: Folder) -> list[str]:
        """Return the keys of old versions of corrected results, left by a worker that was killed.

        Not those of a result with a correction that is to be made: a worker that has stalled for
        long may still make its version the current one.
        """
        self._context.step()
        before = self._ago(self._settings.upload_grace_seconds)
        files = await self._context.corrections.output_files(folder.task_id)
        return [
            output_key(folder.task_id, name)
            for name, changed in folder.outputs.items()
            if changed < before and files.is_obsolete(name)
        ]

    async def _oldest_wanted(self) -> datetime:
        """Return the time before which files of no known task may be deleted.

        The task of a direct publisher is known only when a worker has read its first entry: while
        an entry waits, files that are not clearly older than it may be its original.
        """
        rows: Any = await self._context.redis.xrange(self._context.keys.images, count=1)
        since = now = datetime.now(UTC)
        if rows:
            oldest_ms = int(rows[0][0].split(b"-")[0])
            if oldest_ms > now.timestamp() * 1000:
                # Its id is ahead of the clock, so it may have waited for as long as a task lives.
                since = self._ago(self._settings.task_storage_ttl_hours * 3600)
            else:
                since = datetime.fromtimestamp(oldest_ms / 1000, UTC)
        return since - timedelta(seconds=self._settings.upload_grace_seconds)

    def _ago(self, seconds: float) -> datetime:
        return datetime.now(UTC) - timedelta(seconds=seconds)


async def folders(listing: AsyncIterator[tuple[str, datetime]]) -> AsyncIterator[Folder]:
    """Yield the tasks of a listing one at a time: storage lists a task's files one after another.

    Anything that does not lie where a task's files do is foreign and left out.
    """
    current: Folder | None = None
    async for key, changed in listing:
        parts = key.split("/")
        if len(parts) != 3 or parts[1] not in ("input", "output", "quarantine"):
            continue
        if not re.fullmatch(TASK_ID_PATTERN, parts[0]):
            continue
        if current is None or current.task_id != parts[0]:
            if current is not None:
                yield current
            current = Folder(parts[0], changed)
        current.keys.append(key)
        if parts[1] == "quarantine":
            current.newest_kept = max(current.newest_kept or changed, changed)
            continue
        current.newest = max(current.newest, changed)
        current.has_inputs |= parts[1] == "input"
        if parts[1] == "output":
            current.outputs[parts[2]] = changed
    if current is not None:
        yield current


def _batches(unwanted: list[Unwanted], size: int) -> Iterator[list[Unwanted]]:
    """Yield tasks that have files to delete, in groups of at most so many files.

    A task with more files is a group of its own.
    """
    batch: list[Unwanted] = []
    for one in unwanted:
        if batch and sum(len(each.keys) for each in batch) + len(one.keys) > size:
            yield batch
            batch = []
        if one.keys:
            batch.append(one)
    if batch:
        yield batch


def deletable(
    folder: Folder,
    status: TaskStatus | None,
    *,
    deleted: bool,
    before: datetime,
    kept_before: datetime,
) -> list[str]:
    """Return the prefixes of a task's folder that must be deleted.

    Args:
        folder: what a listing shows of the task.
        status: None if there is no such task: it has expired, or its upload was not completed.
        deleted: whether the task was deleted on request.
        before: files of no task are kept until all of them are older than this.
        kept_before: originals in quarantine are kept until all of them are older than this.
    """
    inputs, outputs = input_prefix(folder.task_id), output_prefix(folder.task_id)
    prefixes = []
    if status is None:
        prefixes = [inputs, outputs] if folder.newest < before else []
    elif deleted:
        prefixes = [inputs, outputs]
    elif status.is_final and folder.has_inputs:
        prefixes = [inputs]
    if folder.newest_kept is not None and (deleted or folder.newest_kept < kept_before):
        prefixes.append(quarantine_prefix(folder.task_id))
    return prefixes
