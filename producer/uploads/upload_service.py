"""Taking in one task: its files into storage, then its entries into the stream; or neither."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import structlog

from producer.errors import (
    BacklogFullError,
    KeyInUseError,
    KeyReusedError,
    NoFilesError,
    RedisForbidsError,
    RedisFullError,
    RedisRefusesError,
    SlowUploadError,
    TooBusyError,
    TooManyFilesError,
    UnsettledSubmitError,
)
from producer.uploads.form import FILES_FIELD, UploadForm, UploadLimits
from producer.uploads.idempotency import Claim, content_digest
from producer.uploads.shielded_tasks import ShieldedTasks
from producer.uploads.submit import Submitter
from schemas.contract.messages import ImageMessage
from schemas.contract.names import base_name, unique_output_names
from schemas.redis.task_store import EarlierUse
from schemas.storage.layout import input_key, task_prefix
from schemas.storage.storage import Storage, StorageError

_SLOT_WAIT_SECONDS = 10.0
_CLEANUP_SECONDS = 30.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AcceptedTask:
    """What was taken in; `repeated`: by an earlier request with the same idempotency key.

    `ignored_fields`: names of the form's text fields, which are not used.
    """

    task_id: str
    filenames: tuple[str, ...]
    total_bytes: int
    repeated: bool = False
    ignored_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _File:
    key: str
    filename: str
    size: int
    sha256: str


class UploadService:
    """Receives uploads, at most `slots` at the same time."""

    def __init__(
        self,
        storage: Storage,
        submitter: Submitter,
        limits: UploadLimits,
        cleanups: ShieldedTasks,
        *,
        slots: int,
    ) -> None:
        self._storage = storage
        self._submitter = submitter
        self.limits = limits
        self._slots = asyncio.Semaphore(slots)
        self._cleanups = cleanups

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

    async def take(self, form: UploadForm, claim: Claim | None = None) -> AcceptedTask:
        """Store and enqueue a task; after any error nothing of it is left.

        The exception is UnsettledSubmitError: the task may have been accepted, its files stay.
        With a claim of an idempotency key the form has to be one that digests its files.
        """
        if claim is not None and claim.earlier is not None:
            return await self._compare(form, claim.earlier)
        task_id = str(uuid4())
        try:
            files = await self._receive(form, task_id)
        except BaseException:
            await self._discard(task_id)
            raise
        await self._submit(task_id, files, claim)
        return _accepted(task_id, files, form)

    async def _compare(self, form: UploadForm, earlier: EarlierUse) -> AcceptedTask:
        """Read a repeated request without storing it; raises KeyReusedError if it is another."""
        files = await self._receive(form, None)
        if content_digest((file.filename, file.sha256) for file in files) != earlier.digest:
            raise KeyReusedError
        return _accepted(earlier.task_id, files, form, repeated=True)

    async def _receive(self, form: UploadForm, task_id: str | None) -> list[_File]:
        """Read all files in time, and store them as those of a task if there is one."""
        try:
            async with asyncio.timeout(self.limits.total_seconds):
                files = [file async for file in self._files(form, task_id)]
        except TimeoutError:
            raise SlowUploadError("The upload took too long.") from None
        finally:
            await form.stop()
        if not files:
            raise NoFilesError(f"Send one or more files in the field “{FILES_FIELD}”.")
        return files

    async def _files(self, form: UploadForm, task_id: str | None) -> AsyncIterator[_File]:
        count = 0
        async for part in form.files():
            if count == self.limits.max_files:
                raise TooManyFilesError(f"A task has at most {self.limits.max_files} images.")
            part.check()
            key = "" if task_id is None else input_key(task_id, count)
            if key:
                await self._storage.put(key, part.chunks())
            else:
                async for _ in part.chunks():
                    pass
            yield _File(key, base_name(part.filename), part.size, part.sha256)
            count += 1

    async def _submit(self, task_id: str, files: list[_File], claim: Claim | None) -> None:
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
        digests = [(file.filename, file.sha256) for file in files]
        binding = None if claim is None else claim.binding(digests)
        try:
            await self._submitter.submit(task_id, messages, binding)
        except UnsettledSubmitError:
            log.error("submit without an answer; files kept", task_id=task_id)
            raise
        except (
            BacklogFullError, RedisFullError, RedisForbidsError, RedisRefusesError, KeyInUseError,
        ):  # fmt: skip
            await self._discard(task_id)
            raise

    async def _discard(self, task_id: str) -> None:
        await self._cleanups.run(self._delete_files(task_id))

    async def _delete_files(self, task_id: str) -> None:
        try:
            async with asyncio.timeout(_CLEANUP_SECONDS):
                await self._storage.delete_prefix(task_prefix(task_id))
        except (StorageError, TimeoutError) as error:
            log.warning(
                "files of a refused upload are left to the sweeper", task_id=task_id,
                error=f"{type(error).__name__}: {error}",
            )  # fmt: skip


def _accepted(
    task_id: str, files: list[_File], form: UploadForm, *, repeated: bool = False
) -> AcceptedTask:
    return AcceptedTask(
        task_id,
        filenames=tuple(file.filename for file in files),
        total_bytes=sum(file.size for file in files),
        repeated=repeated,
        ignored_fields=form.ignored_fields,
    )
