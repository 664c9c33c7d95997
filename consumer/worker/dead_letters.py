"""Dead-lettering entries, and keeping their originals where the operator wants to replay them."""

import asyncio
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis

from consumer.metrics import WorkerMetrics
from consumer.worker.stream import Entry
from schemas import tracing
from schemas.contract.errors import IMAGE_ERROR_MEANINGS, ImageErrorCode
from schemas.contract.messages import (
    ContractError,
    ContractLimits,
    ErrorTarget,
    ImageMessage,
    error_target,
    is_own_object,
)
from schemas.contract.names import base_name
from schemas.contract.tasks import ImageFailure
from schemas.logs import described
from schemas.redis.keys import Keys
from schemas.redis.results import BeginResult, FinishResult
from schemas.redis.task_store import TaskStore
from schemas.retry import retry_until_stopped
from schemas.storage.layout import quarantine_key
from schemas.storage.storage import Storage, StorageError

log = structlog.get_logger()

RECORDED = (FinishResult.WRITTEN, FinishResult.COMPLETED, FinishResult.FAILED)
"""The outcome of the image was written by this call."""

_NEWEST = 1000
"""Dead letters that may be written while an original is copied, and many more."""


@dataclass(eq=False, repr=False)
class DeadLetterRecorder:
    """Ends entries by a dead letter, and with them the image of the task that they stand for.

    All calls raise StoppedError if Redis is unavailable until `stop`.
    """

    store: TaskStore
    storage: Storage
    metrics: WorkerMetrics
    limits: ContractLimits
    stop: asyncio.Event

    async def refuse(self, entry: Entry, detail: str) -> None:
        """Dead-letter an entry that breaks the contract."""
        await self._fail(entry, ImageErrorCode.INVALID_MESSAGE, detail)

    async def reject(self, entry: Entry, message: ImageMessage, result: BeginResult) -> None:
        """Dead-letter an entry that contradicts its task.

        Only an output name that is taken fails the entry's own image.
        """
        failure = None
        if result is BeginResult.OUTPUT_CONFLICT:
            detail = "output is the name of another image's result"
            failure = image_failure(message, ImageErrorCode.INVALID_MESSAGE, detail)
        done = await self._record(
            entry, result, task_id=message.task_id, failure=failure, total=message.total,
            detail=result.replace("_", " "),
        )  # fmt: skip
        await self._delete_original(message, done)

    async def dead_letter_poison(self, entry: Entry) -> None:
        """Dead-letter a poison image, and delete its original."""
        code = ImageErrorCode.TOO_MANY_DELIVERIES
        try:
            done = await self._fail(entry, code, IMAGE_ERROR_MEANINGS[code])
        except StorageError as error:
            # The original is to be kept and cannot be copied: the entry is redelivered.
            log.warning("dead letter waits for storage", entry=entry.id, error=described(error))
            return
        try:
            message = ImageMessage.from_fields(entry.fields, self.limits)
        except ContractError:
            return
        await self._delete_original(message, done)

    async def _fail(self, entry: Entry, code: ImageErrorCode, detail: str) -> FinishResult:
        """Record a dead letter that fails its image, if the entry names one that can be failed."""
        target = error_target(entry.fields)
        if target is None or not await self._is_allowed(target):
            return await self._record(entry, code, detail=detail)
        name = base_name(entry.fields.get(b"filename", b"image").decode(errors="replace"))
        failure = ImageFailure(index=target.index, filename=name, code=code, detail=detail)
        return await self._record(
            entry, code, task_id=target.task_id, failure=failure, total=target.total, detail=detail
        )

    async def _is_allowed(self, target: ErrorTarget) -> bool:
        """Return whether a task may have so many images; a known task was accepted with them."""
        if (target.total or 1) <= self.limits.max_total:
            return True
        state = await retry_until_stopped(lambda: self.store.state(target.task_id), self.stop)
        return state is not None

    async def _record(
        self,
        entry: Entry,
        reason: str,
        *,
        detail: str,
        task_id: str = "",
        failure: ImageFailure | None = None,
        total: int | None = None,
    ) -> FinishResult:
        done = await retry_until_stopped(
            lambda: self.store.dead_letter(
                entry.id, reason=reason, task_id=task_id, failure=failure, total=total,
                metadata={"detail": detail, "deliveries": entry.deliveries},
            ),
            self.stop,
        )  # fmt: skip
        if done is FinishResult.SETTLED:
            # By another worker, which has reported it; rarely by this call, its response lost.
            log.info("entry was settled before its dead letter", entry=entry.id, task_id=task_id)
            return done
        self.metrics.images.labels("dead_letter").inc()
        tracing.annotate({tracing.OUTCOME: "dead_letter", "plate.reason": reason})
        self.metrics.dead_letters.labels(reason).inc()
        log.warning(
            "dead letter", reason=reason, entry=entry.id, task_id=task_id, detail=detail,
            filename=failure.filename if failure else None,
        )  # fmt: skip
        log_task_end(task_id, done)
        return done

    async def _delete_original(self, message: ImageMessage, done: FinishResult) -> None:
        """Delete the original of an image that this dead letter has ended, and of no other one."""
        if done in RECORDED and message.object is not None:
            await delete_files(self.storage, message.object)


def image_failure(message: ImageMessage, code: ImageErrorCode, detail: str) -> ImageFailure:
    """Return the outcome of an image that failed."""
    return ImageFailure(index=message.index, filename=message.filename, code=code, detail=detail)


def log_task_end(task_id: str, done: FinishResult) -> None:
    """Log the end of a task, if this was it."""
    if done in (FinishResult.COMPLETED, FinishResult.FAILED):
        log.info("task finished", task_id=task_id, status=str(done))


async def delete_files(storage: Storage, *keys: str) -> None:
    """Delete files, or leave them to the dispatcher and the sweeper."""
    try:
        await storage.delete(*keys)
    except StorageError as error:
        log.warning("file not deleted yet", error=described(error))


class QuarantiningStore(TaskStore):
    """A store that keeps the originals of dead letters in storage, never in the letter.

    The copy is made first: once the letter is written, the original may be deleted.
    """

    def __init__(
        self, redis: Redis, keys: Keys, storage: Storage, *, task_ttl_ms: int, max_bytes: int
    ) -> None:
        super().__init__(redis, keys, task_ttl_ms=task_ttl_ms)
        self._storage = storage
        self._max_bytes = max_bytes

    async def dead_letter(
        self,
        entry: str,
        *,
        task_id: str = "",
        metadata: dict[str, str | int] | None = None,
        **letter: Any,
    ) -> FinishResult:
        """As the base class; raises StorageError too, and then nothing was recorded."""
        kept = await self._keep(entry, task_id)
        if kept is not None:
            metadata = {**(metadata or {}), "kept": kept}
        result = await super().dead_letter(entry, task_id=task_id, metadata=metadata, **letter)
        if kept is not None and result is FinishResult.SETTLED:
            await self._delete_unless_named(kept)
        return result

    async def _delete_unless_named(self, kept: str) -> None:
        """Delete a copy that is not needed: another worker ended the entry meanwhile.

        If it did so by a dead letter, that letter names this very copy, and is one of the newest.
        """
        rows: Any = await self._redis.xrevrange(self._keys.dead_letters, count=_NEWEST)
        if not any(fields.get(b"kept") == kept.encode() for _, fields in rows):
            await delete_files(self._storage, kept)

    async def _keep(self, entry: str, task_id: str) -> str | None:
        """Copy the original of an entry; return the copy's key, None if there is none."""
        rows: Any = await self._redis.xrange(self._keys.images, entry, entry)
        if not rows or not task_id:
            return None  # settled by another worker, or of no task that could own the copy
        fields: dict[bytes, bytes] = rows[0][1]
        key, image = quarantine_key(task_id, entry), fields.get(b"image")
        if image is not None:
            await self._storage.put(key, image)
            return key
        original = fields.get(b"object", b"").decode(errors="replace")
        if not is_own_object(original, task_id):
            return None
        try:
            if await self._storage.size(original) > self._max_bytes:
                return None
            await self._storage.put(key, self._storage.stream(original))
        except FileNotFoundError:
            return None
        return key
