"""Receiving one task: its files into storage, then its entries into the stream; or neither."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import orjson
import structlog
from pydantic import BaseModel, Field

from producer.errors import (
    KeyReusedError,
    NoFilesError,
    ProducerError,
    SlowUploadError,
    TooBusyError,
    UnsettledSubmitError,
)
from producer.services.form import FILES_FIELD, UploadForm
from producer.services.idempotency import KeyClaim
from producer.services.shutdown import ShieldedTasks
from producer.services.submit import Submitter
from producer.settings import ProducerSettings
from schemas.contract.messages import ImageMessage
from schemas.contract.names import base_name, unique_output_names
from schemas.logs import described
from schemas.redis.task_store import Binding, EarlierUse
from schemas.storage.layout import input_key, task_prefix
from schemas.storage.storage import Storage, StorageError

_SLOT_SECONDS = 10.0
_CLEANUP_SECONDS = 30.0

log = structlog.get_logger(__name__)


class TaskAccepted(BaseModel):
    """The task that an upload became."""

    task_id: str = Field(examples=["a1b2c3d4-e5f6-7890-1234-567890abcdef"])
    ignored_fields: tuple[str, ...] = Field(
        default=(),
        description="Names of the form's text fields, which are not used; left out if there are "
        "none",
        examples=[["comment"]],
    )


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file of an upload. `key`: where it is stored; `sha256`: of its content; or empty."""

    key: str
    filename: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ReceivedUpload:
    """A whole upload. `repeated`: an earlier one with the same idempotency key became the task."""

    task_id: str
    files: list[ReceivedFile]
    repeated: bool = False


class UploadService:
    """Receives uploads, at most MAX_CONCURRENT_UPLOADS at the same time."""

    def __init__(
        self,
        storage: Storage,
        submitter: Submitter,
        cleanups: ShieldedTasks,
        settings: ProducerSettings,
    ) -> None:
        self._storage = storage
        self._submitter = submitter
        self._cleanups = cleanups
        self._timeout_seconds = settings.upload_timeout_seconds
        self._slots = asyncio.Semaphore(settings.max_concurrent_uploads)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the slots, which bound memory; raises TooBusyError if none gets free."""
        try:
            async with asyncio.timeout(_SLOT_SECONDS):
                await self._slots.acquire()
        except TimeoutError:
            raise TooBusyError("Too many uploads at the same time; try again.") from None
        try:
            yield
        finally:
            self._slots.release()

    async def receive(self, form: UploadForm, claim: KeyClaim | None = None) -> ReceivedUpload:
        """Store and submit a task; after any error nothing of it is left.

        The exception is UnsettledSubmitError: the task may have been accepted, its files stay.
        """
        if claim is not None and claim.earlier is not None:
            return await self._compare(form, claim.earlier)
        task_id = str(uuid4())
        try:
            files = await self._read(form, task_id, hashing=claim is not None)
        except BaseException:
            await self._cleanups.run(self._delete_files(task_id))
            raise
        try:
            await self._submit(task_id, files, claim)
        except UnsettledSubmitError:
            log.error("files of a task that may be accepted are kept", task_id=task_id)
            raise
        except ProducerError:  # surely refused; after any other error it may be accepted
            await self._cleanups.run(self._delete_files(task_id))
            raise
        return ReceivedUpload(task_id, files)

    async def _compare(self, form: UploadForm, earlier: EarlierUse) -> ReceivedUpload:
        """Read a repeated request without storing it; raises KeyReusedError if it is another."""
        files = await self._read(form, None, hashing=True)
        if _digest(files) != earlier.digest:
            raise KeyReusedError
        return ReceivedUpload(earlier.task_id, files, repeated=True)

    async def _read(
        self, form: UploadForm, task_id: str | None, *, hashing: bool
    ) -> list[ReceivedFile]:
        """Read all files, and store them as those of a task if there is one.

        `hashing`: whether their contents will be compared with those of another request. Without
        it they are not digested, which would take about 1 ms per MB.
        """
        files: list[ReceivedFile] = []
        try:
            async with asyncio.timeout(self._timeout_seconds):
                async for file in form.files():
                    digest = hashlib.sha256()
                    chunks = _digested(file.chunks(), digest) if hashing else file.chunks()
                    key = "" if task_id is None else input_key(task_id, len(files))
                    if key:
                        await self._storage.put(key, chunks)
                    else:
                        async for _ in chunks:
                            continue
                    name = base_name(file.filename)
                    sha256 = digest.hexdigest() if hashing else ""
                    files.append(ReceivedFile(key, name, file.size, sha256))
        except TimeoutError:
            raise SlowUploadError("The upload took too long.") from None
        finally:
            await form.stop()
        if not files:
            raise NoFilesError(f"Send one or more files in the field “{FILES_FIELD}”.")
        return files

    async def _submit(
        self, task_id: str, files: list[ReceivedFile], claim: KeyClaim | None
    ) -> None:
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
        binding = None
        if claim is not None:
            binding = Binding(claim.record, claim.token, _digest(files))
        await self._submitter.submit(task_id, messages, binding)

    async def _delete_files(self, task_id: str) -> None:
        try:
            async with asyncio.timeout(_CLEANUP_SECONDS):
                await self._storage.delete_prefix(task_prefix(task_id))
        except (StorageError, TimeoutError) as error:
            log.warning(
                "files of a refused upload are left to the sweeper", task_id=task_id,
                error=described(error),
            )  # fmt: skip


async def _digested(chunks: AsyncIterator[bytes], digest: "hashlib._Hash") -> AsyncIterator[bytes]:
    async for chunk in chunks:
        digest.update(chunk)
        yield chunk


def _digest(files: list[ReceivedFile]) -> str:
    """Return one SHA-256 (hex) for the names and contents of files in their order."""
    pairs = [(file.filename, file.sha256) for file in files]
    return hashlib.sha256(orjson.dumps(pairs)).hexdigest()
