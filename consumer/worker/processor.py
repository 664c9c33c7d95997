"""What happens to one entry: it ends with a result, an error or a dead letter, or was settled.

Every way ends in one atomic step that also acks and deletes the entry, or in an exception, after
which the entry is redelivered.
"""

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from consumer.errors import ImageError
from consumer.metrics import WorkerMetrics
from consumer.settings import WorkerSettings
from consumer.vision.finding import CoveredImage
from consumer.worker.covering import Covering
from consumer.worker.dead_letters import (
    RECORDED,
    DeadLetterRecorder,
    delete_files,
    image_failure,
    log_task_end,
)
from consumer.worker.pipeline import ImagePipeline
from consumer.worker.report import report
from consumer.worker.stream import Entry
from schemas import tracing
from schemas.contract.errors import ImageErrorCode
from schemas.contract.messages import ContractError, ContractLimits, ImageMessage
from schemas.contract.names import result_url
from schemas.contract.tasks import MODEL_DIGITS, ImageFailure, ImageResult
from schemas.logs import described
from schemas.redis.results import BeginResult, FinishResult
from schemas.redis.task_store import TaskStore
from schemas.retry import retry_until_stopped
from schemas.storage.layout import output_key
from schemas.storage.storage import ObjectTooLargeError, Storage

log = structlog.get_logger()

_SETTLED = (BeginResult.DUPLICATE, BeginResult.GONE)
_TOO_LATE = (FinishResult.CLOSED, FinishResult.GONE)


@dataclass(kw_only=True, eq=False, repr=False)
class ImageProcessor:
    """Processes entries, one call each: load, cover, store, finish.

    ``model``: SHA-256 of the networks' files, for results and outcomes. ``stop`` ends waiting for a
    server that is unavailable.
    """

    settings: WorkerSettings
    store: TaskStore
    storage: Storage
    pipeline: ImagePipeline
    covering: Covering
    dead_letters: DeadLetterRecorder
    metrics: WorkerMetrics
    limits: ContractLimits
    model: str
    stop: asyncio.Event

    def parse(self, fields: Mapping[bytes, bytes]) -> ImageMessage:
        """Read an entry; raises ContractError."""
        return ImageMessage.from_fields(fields, self.limits)

    async def end_poison(self, entry: Entry) -> None:
        """Dead-letter a poison image."""
        await self.dead_letters.dead_letter_poison(entry)

    async def process(self, entry: Entry) -> None:
        """Settle an entry; raises StoppedError if a server is unavailable until the stop."""
        self.metrics.observe_stage("queue", max(0.0, time.time() - entry.added_at))
        try:
            message = self.parse(entry.fields)
        except ContractError as error:
            await self.dead_letters.refuse(entry, str(error))
            return
        tracing.annotate({tracing.TASK_ID: message.task_id, tracing.INDEX: message.index})
        begun, message = await self._begin(entry, message)
        if begun is BeginResult.RUN:
            await self._run(entry, message)
        elif begun in _SETTLED:
            self.metrics.images.labels(begun).inc()
            tracing.annotate({tracing.OUTCOME: begun})
            await delete_files(self.storage, *_original(message))
        elif begun is BeginResult.TOTAL_TOO_LARGE:
            await self.dead_letters.refuse(entry, f"total: more than {self.limits.max_total}")
        else:
            await self.dead_letters.reject(entry, message, begun)

    async def _begin(self, entry: Entry, message: ImageMessage) -> tuple[BeginResult, ImageMessage]:
        """Begin an image; the returned message has a name of the result that no other image has."""
        for name in (message.output_name, message.distinct_output_name):
            begin = partial(
                self.store.begin, entry.id, message,
                output=name, max_total=self.limits.max_total,
            )  # fmt: skip
            begun = await retry_until_stopped(begin, self.stop)
            if begun is not BeginResult.OUTPUT_TAKEN:
                return begun, message.model_copy(update={"output": name})
        return BeginResult.OUTPUT_CONFLICT, message

    async def _run(self, entry: Entry, message: ImageMessage) -> None:
        try:
            covered = await self._cover_and_store(entry, message)
        except ImageError as error:
            await self._finish_failed(entry, message, error)
        else:
            await self._finish_covered(entry, message, covered)

    async def _cover_and_store(self, entry: Entry, message: ImageMessage) -> CoveredImage:
        key = output_key(message.task_id, message.output_name)
        return await self.covering.make(
            entry, message,
            load=partial(self._load, message), needed_bytes=self.pipeline.needed_bytes,
            work=self.pipeline.cover, key=lambda _: key,
        )  # fmt: skip

    async def _load(self, message: ImageMessage) -> bytes:
        if message.image is not None:
            return message.image
        limit = self.settings.max_file_size_bytes
        try:
            return await self.covering.read(message.object or "", max_bytes=limit)
        except FileNotFoundError:
            raise ImageError(ImageErrorCode.INPUT_MISSING, "not in storage") from None
        except ObjectTooLargeError:
            raise ImageError(ImageErrorCode.FILE_TOO_LARGE, f"over {limit} bytes") from None

    async def _finish_failed(self, entry: Entry, message: ImageMessage, error: ImageError) -> None:
        failure = image_failure(message, error.code, error.detail)
        done = await self._finish(entry, message, failure, {"code": error.code})
        self._count(error.code, done)
        line = _log_fields(entry, message, done)
        if error.__cause__ is not None:
            line["cause"] = described(error.__cause__)
        log.info("image failed", code=str(error.code), **line)
        # An earlier attempt, or one whose response was lost, may have stored a result.
        has_result = done in RECORDED or done is FinishResult.GONE
        await self._delete(message, result=has_result)

    async def _finish_covered(
        self, entry: Entry, message: ImageMessage, covered: CoveredImage
    ) -> None:
        settings = self.settings
        covers = report(
            covered.plates,
            review_confidence=settings.review_confidence,
            detections=settings.detections,
            uncovered_score=covered.uncovered_score,
        )
        result = ImageResult(
            filename=message.output_name,
            url=result_url(message.task_id, message.output_name, settings.public_url),
            needs_review=covers.needs_review,
            detections=covers.detections,
            model=self.model[:MODEL_DIGITS],
        )
        provenance: dict[str, object] = {
            "filename": message.filename,
            "input_sha256": covered.input_sha256,
            "output_sha256": covered.output_sha256,
            "plates": covers.plates,
            "scores": covers.scores,
            "model": self.model,
        }
        if covers.doubt is not None:
            provenance["doubt"] = covers.doubt
        done = await self._finish(entry, message, result, provenance)
        self._count("covered", done)
        log.debug("image covered", plates=covers.plates, **_log_fields(entry, message, done))
        if done not in _TOO_LATE:
            self.metrics.plates.inc(covers.plates)
            self.metrics.needing_review.inc(covers.needs_review)
        await self._delete(message, result=done is FinishResult.GONE)

    async def _finish(
        self,
        entry: Entry,
        message: ImageMessage,
        public: ImageResult | ImageFailure,
        provenance: dict[str, object],
    ) -> FinishResult:
        # `call` is the same in each repeat of this call and in no other worker's: so a repeat after
        # a lost response differs from a second outcome, which comes too late.
        provenance = {"stream_id": entry.id, "call": secrets.token_hex(8), **provenance}
        done = await retry_until_stopped(
            lambda: self.store.finish(entry.id, message, public, provenance), self.stop
        )
        log_task_end(message.task_id, done)
        return done

    def _count(self, outcome: str, done: FinishResult) -> None:
        counted = "superseded" if done in _TOO_LATE else outcome
        self.metrics.images.labels(counted).inc()
        tracing.annotate({tracing.OUTCOME: counted})

    async def _delete(self, message: ImageMessage, *, result: bool) -> None:
        """Delete the original; the result too if there is to be none."""
        keys = [output_key(message.task_id, message.output_name)] if result else []
        await delete_files(self.storage, *_original(message), *keys)


def _original(message: ImageMessage) -> list[str]:
    return [] if message.object is None else [message.object]


def _log_fields(entry: Entry, message: ImageMessage, done: FinishResult) -> dict[str, object]:
    return {
        "task_id": message.task_id, "index": message.index, "entry": entry.id,
        "filename": message.filename, "outcome": str(done),
    }  # fmt: skip
