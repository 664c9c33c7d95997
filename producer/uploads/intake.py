"""Taking in one task: its files into storage, then its entries into the stream; or neither."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import structlog

from producer.errors import (
    BacklogFullError,
    NoFilesError,
    RedisFullError,
    SlowUploadError,
    TooBusyError,
    TooManyFilesError,
    UnsettledSubmitError,
)
from producer.uploads.form import FILES_FIELD, UploadForm, UploadLimits
from producer.uploads.submit import Submitter
from schemas.layout import input_key, task_prefix
from schemas.messages import ImageMessage
from schemas.names import base_name, unique_output_names
from schemas.storage import Storage, StorageError

_SLOT_WAIT_SECONDS = 10.0
_CLEANUP_SECONDS = 30.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AcceptedTask:
    """What was taken in."""

    task_id: str
    images: int
    total_bytes: int


@dataclass(frozen=True, slots=True)
class _StoredFile:
    key: str
    filename: str
    size: int


class Intake:
    """Receives uploads, at most `slots` at the same time."""

    def __init__(
        self, storage: Storage, submitter: Submitter, limits: UploadLimits, *, slots: int
    ) -> None:
        self._storage = storage
        self._submitter = submitter
        self.limits = limits
        self._slots = asyncio.Semaphore(slots)
        self._cleanups: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the slots: they bound memory, whatever the number of clients."""
        try:
            async with asyncio.timeout(_SLOT_WAIT_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise TooBusyError("Too many uploads at the same time; try again.") from None
        try:
            yield
        finally:
            self._slots.release()

    async def take(self, form: UploadForm) -> AcceptedTask:
        """Store and enqueue a task; after any error nothing of it is left.

        The exception is UnsettledSubmitError: the task may have been accepted, its files stay.
        """
        task_id = str(uuid4())
        try:
            async with asyncio.timeout(self.limits.total_seconds):
                files = await self._store(task_id, form)
        except TimeoutError:
            await self._discard(task_id)
            raise SlowUploadError("The upload took too long.") from None
        except BaseException:
            await self._discard(task_id)
            raise
        await self._submit(task_id, files)
        return AcceptedTask(task_id, len(files), sum(file.size for file in files))

    async def close(self) -> None:
        """Wait for deletions under way; what is left belongs to the sweeper."""
        if self._cleanups:
            await asyncio.wait(self._cleanups, timeout=_CLEANUP_SECONDS)

    async def _store(self, task_id: str, form: UploadForm) -> list[_StoredFile]:
        files: list[_StoredFile] = []
        async for part in form.files():
            if len(files) == self.limits.max_files:
                raise TooManyFilesError(f"A task has at most {self.limits.max_files} images.")
            await part.check_type()
            key = input_key(task_id, len(files))
            await self._storage.put(key, part.chunks())
            files.append(_StoredFile(key, base_name(part.filename), part.size))
        if not files:
            raise NoFilesError(f"Send one or more files in the field “{FILES_FIELD}”.")
        return files

    async def _submit(self, task_id: str, files: list[_StoredFile]) -> None:
        outputs = unique_output_names(file.filename for file in files)
        messages = [
            ImageMessage(
                task_id=task_id,
                index=index,
                total=len(files),
                filename=file.filename,
                output=output,
                object=file.key,
            )
            for index, (file, output) in enumerate(zip(files, outputs, strict=True))
        ]
        try:
            await self._submitter.submit(task_id, messages)
        except UnsettledSubmitError:
            log.error("submit without an answer; files kept", task_id=task_id)
            raise
        except (BacklogFullError, RedisFullError):
            await self._discard(task_id)
            raise

    async def _discard(self, task_id: str) -> None:
        # A task of its own: the caller may be under cancellation.
        cleanup = asyncio.create_task(self._delete_files(task_id))
        self._cleanups.add(cleanup)
        cleanup.add_done_callback(self._cleanups.discard)
        await asyncio.shield(cleanup)

    async def _delete_files(self, task_id: str) -> None:
        try:
            async with asyncio.timeout(_CLEANUP_SECONDS):
                await self._storage.delete_prefix(task_prefix(task_id))
        except (StorageError, TimeoutError):
            log.warning("files of a refused upload are left to the sweeper", task_id=task_id)
