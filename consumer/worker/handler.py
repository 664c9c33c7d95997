"""What becomes of one entry: a result, an error, a dead letter, or nothing because it was settled.

Every way through ends in one atomic step that also acks and deletes the entry, or in an exception
that leaves it to its lease.
"""

import asyncio
import secrets
import time
from contextlib import ExitStack
from functools import partial

import structlog

from consumer.errors import ImageError
from consumer.metrics import WorkerMetrics
from consumer.worker.pipeline import Covered, ImagePipeline
from consumer.worker.poison import PoisonGuard
from consumer.worker.stream import Entry
from schemas.contract.errors import IMAGE_ERROR_MEANINGS, ImageErrorCode
from schemas.contract.messages import (
    ContractError,
    ContractLimits,
    ErrorTarget,
    ImageMessage,
    error_target,
)
from schemas.contract.names import base_name, result_url
from schemas.contract.tasks import ImageFailure, ImageResult
from schemas.logs import described
from schemas.redis.task_store import BeginAnswer, FinishAnswer, TaskStore
from schemas.retry import retry_until_stopped
from schemas.storage.layout import output_key
from schemas.storage.storage import Storage, StorageError

log = structlog.get_logger()

_SETTLED = (BeginAnswer.DUPLICATE, BeginAnswer.GONE)
_TOO_LATE = (FinishAnswer.CLOSED, FinishAnswer.GONE)
_RECORDED = (FinishAnswer.WRITTEN, FinishAnswer.COMPLETED, FinishAnswer.FAILED)


class EntryHandler:
    """Settles entries, one call each.

    Args:
        stop: ends waiting for a server that is unavailable.
        poison: finds poison images.
        public_url: what the addresses of results begin with.
    """

    def __init__(  # noqa: PLR0913 - the last four by name
        self,
        store: TaskStore,
        storage: Storage,
        pipeline: ImagePipeline,
        metrics: WorkerMetrics,
        *,
        stop: asyncio.Event,
        poison: PoisonGuard,
        limits: ContractLimits,
        public_url: str,
    ) -> None:
        self._store = store
        self._storage = storage
        self._pipeline = pipeline
        self._metrics = metrics
        self._stop = stop
        self._poison = poison
        self._limits = limits
        self._public_url = public_url

    async def handle(self, entry: Entry) -> None:
        """Settle an entry; raises StoppedError if a server stayed unavailable until the stop."""
        self._metrics.observe_stage("queue", max(0.0, time.time() - entry.added_at))
        try:
            message = ImageMessage.from_fields(entry.fields, self._limits)
        except ContractError as error:
            await self._refuse(entry, str(error))
            return
        answer, message = await self._begin(entry, message)
        if answer is BeginAnswer.RUN:
            await self._run(entry, message)
        elif answer in _SETTLED:
            await self._drop_settled(message, answer)
        elif answer is BeginAnswer.TOTAL_TOO_LARGE:
            await self._refuse(entry, f"total: more than {self._limits.max_total}")
        else:
            await self._reject(entry, message, answer)

    async def _begin(self, entry: Entry, message: ImageMessage) -> tuple[BeginAnswer, ImageMessage]:
        """Take up an image; the message then names the result as no other image's is named."""
        answer = BeginAnswer.OUTPUT_TAKEN
        for name in (message.output_name, message.distinct_output_name):
            begin = partial(
                self._store.begin, entry.id, message,
                output=name, max_total=self._limits.max_total,
            )  # fmt: skip
            answer = await retry_until_stopped(begin, self._stop)
            if answer is not BeginAnswer.OUTPUT_TAKEN:
                return answer, message.model_copy(update={"output": name})
        return BeginAnswer.OUTPUT_CONFLICT, message

    async def is_poison(self, entry: Entry) -> bool:
        """Whether an entry is to be given up that has had MAX_DELIVERIES."""
        return await self._poison.is_poison(entry)

    async def give_up(self, entry: Entry) -> None:
        """Dead-letter an entry that kills, and delete its original."""
        code = ImageErrorCode.TOO_MANY_DELIVERIES
        try:
            done = await self._dead_letter(entry, code, IMAGE_ERROR_MEANINGS[code])
        except StorageError as error:
            # Its original is to be kept and cannot be: nothing is given up, it comes up again.
            log.warning("dead letter waits for storage", entry=entry.id, error=described(error))
            return
        try:
            message = ImageMessage.from_fields(entry.fields, self._limits)
        except ContractError:
            return
        await self._delete_ended(message, done)

    async def _run(self, entry: Entry, message: ImageMessage) -> None:
        line = log.bind(
            task_id=message.task_id, index=message.index, entry=entry.id, filename=message.filename
        )
        try:
            covered = await self._cover(entry, message)
        except ImageError as error:
            if error.__cause__ is not None:
                line = line.bind(cause=described(error.__cause__))
            failure = _failure(message, error.code, error.detail)
            done = await self._finish(entry, message, failure, {"code": error.code})
            self._count(error.code, done)
            line.info("image failed", code=str(error.code), outcome=str(done))
            await self._clean_up(message, done, failed=True)
        else:
            url = result_url(message.task_id, message.output_name, self._public_url)
            told = covered.report
            result = ImageResult(
                filename=message.output_name, url=url,
                needs_review=told.needs_review, detections=told.detections,
            )  # fmt: skip
            done = await self._finish(entry, message, result, _provenance(covered))
            self._count("covered", done)
            line.debug("image covered", plates=told.plates, outcome=str(done))
            if done not in _TOO_LATE:
                self._metrics.plates.inc(told.plates)
                self._metrics.needing_review.inc(told.needs_review)
            await self._clean_up(message, done)

    async def _cover(self, entry: Entry, message: ImageMessage) -> Covered:
        """Process an image and store its result; each of the two is tried again by itself.

        Of what they meet only storage comes back by itself: any other error, tried again in place,
        could hold the image for ever.
        """
        # The result waits within the memory budget for a disk that is full or unavailable.
        with ExitStack() as room:
            covered, webp = await retry_until_stopped(
                lambda: self._pipeline.process(message, self._poison.watch(entry, message), room),
                self._stop,
                transient=(StorageError,),
            )
            await retry_until_stopped(
                lambda: self._pipeline.store(message, webp),
                self._stop,
                transient=(StorageError,),
            )
        return covered

    async def _finish(
        self,
        entry: Entry,
        message: ImageMessage,
        public: ImageResult | ImageFailure,
        provenance: dict[str, object],
    ) -> FinishAnswer:
        # The same for each repeat of a call whose answer was lost, and no other worker's: so the
        # repeat is told from a second outcome, which comes too late.
        provenance = {"stream_id": entry.id, "call": secrets.token_hex(8), **provenance}
        done = await retry_until_stopped(
            lambda: self._store.finish(entry.id, message, public, provenance), self._stop
        )
        self._log_end(message.task_id, done)
        return done

    def _count(self, outcome: str, done: FinishAnswer) -> None:
        self._metrics.images.labels("superseded" if done in _TOO_LATE else outcome).inc()

    async def _clean_up(
        self, message: ImageMessage, done: FinishAnswer, *, failed: bool = False
    ) -> None:
        """Delete the original; and the result too if there is to be none.

        That is so if the task was deleted meanwhile, or if the image `failed`, unless somebody else
        came first. A try before, or one whose answer was lost, may have stored it.
        """
        keys = [] if message.object is None else [message.object]
        if done is FinishAnswer.GONE or (failed and done in _RECORDED):
            keys.append(output_key(message.task_id, message.output_name))
        await self._delete(keys)

    async def _drop_settled(self, message: ImageMessage, answer: BeginAnswer) -> None:
        self._metrics.images.labels(answer).inc()
        await self._delete([] if message.object is None else [message.object])

    async def _delete(self, keys: list[str]) -> None:
        try:
            await self._storage.delete(*keys)
        except StorageError as error:
            # The dispatcher and the sweeper own what is left.
            log.warning("file not deleted yet", error=described(error))

    async def _refuse(self, entry: Entry, why: str) -> None:
        await self._dead_letter(entry, ImageErrorCode.INVALID_MESSAGE, why)

    async def _dead_letter(self, entry: Entry, code: ImageErrorCode, detail: str) -> FinishAnswer:
        to = error_target(entry.fields)
        if to is None or not await self._is_allowed(to):
            return await self._record(entry, code, detail=detail)
        name = base_name(entry.fields.get(b"filename", b"image").decode(errors="replace"))
        failure = ImageFailure(index=to.index, filename=name, code=code, detail=detail)
        return await self._record(
            entry, code, task_id=to.task_id, failure=failure, total=to.total, detail=detail
        )

    async def _is_allowed(self, to: ErrorTarget) -> bool:
        """Whether a task may have so many images; one that is known was accepted with them."""
        if (to.total or 1) <= self._limits.max_total:
            return True
        state = await retry_until_stopped(lambda: self._store.state(to.task_id), self._stop)
        return state is not None

    async def _reject(self, entry: Entry, message: ImageMessage, answer: BeginAnswer) -> None:
        """An entry that contradicts its task; only a taken output name fails its own image."""
        failure = None
        if answer is BeginAnswer.OUTPUT_CONFLICT:
            detail = "output is the name of another image's result"
            failure = _failure(message, ImageErrorCode.INVALID_MESSAGE, detail)
        done = await self._record(
            entry, answer, task_id=message.task_id, failure=failure, total=message.total,
            detail=answer.replace("_", " "),
        )  # fmt: skip
        await self._delete_ended(message, done)

    async def _delete_ended(self, message: ImageMessage, done: FinishAnswer) -> None:
        """Delete the original of an image that a dead letter has just ended; no other's."""
        if done in _RECORDED and message.object is not None:
            await self._delete([message.object])

    async def _record(
        self,
        entry: Entry,
        reason: str,
        *,
        detail: str,
        task_id: str = "",
        failure: ImageFailure | None = None,
        total: int | None = None,
    ) -> FinishAnswer:
        done = await retry_until_stopped(
            lambda: self._store.dead_letter(
                entry.id, reason=reason, task_id=task_id, failure=failure, total=total,
                metadata={"detail": detail, "deliveries": entry.deliveries},
            ),
            self._stop,
        )  # fmt: skip
        if done is FinishAnswer.SETTLED:
            # By another worker, which has told; rarely by this call itself, whose answer was lost.
            log.info("dead letter: settled before", entry=entry.id, task_id=task_id)
            return done
        self._metrics.images.labels("dead_letter").inc()
        self._metrics.dead_letters.labels(reason).inc()
        log.warning(
            "dead letter", reason=reason, entry=entry.id, task_id=task_id, detail=detail,
            filename=failure.filename if failure else None,
        )  # fmt: skip
        self._log_end(task_id, done)
        return done

    def _log_end(self, task_id: str, done: FinishAnswer) -> None:
        if done in (FinishAnswer.COMPLETED, FinishAnswer.FAILED):
            log.info("task finished", task_id=task_id, status=str(done))


def _failure(message: ImageMessage, code: ImageErrorCode, detail: str) -> ImageFailure:
    return ImageFailure(index=message.index, filename=message.filename, code=code, detail=detail)


def _provenance(covered: Covered) -> dict[str, object]:
    return {
        "input_sha256": covered.input_sha256,
        "output_sha256": covered.output_sha256,
        "plates": covered.report.plates,
        "scores": covered.report.scores,
        "model": covered.model,
    }
