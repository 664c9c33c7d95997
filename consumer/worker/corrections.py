"""Covers that people add to results: each version of a result is a file of its own.

A version becomes the current one in one atomic step, and only if the version that it was made from
still is. So a worker that has stalled past its lease changes nothing, and of two workers with
corrections of the same result the second one makes its own again, from the version of the first.
"""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import structlog

from consumer.errors import ImageError
from consumer.metrics import WorkerMetrics
from consumer.vision.finding import CorrectedImage
from consumer.worker.covering import Covering
from consumer.worker.dead_letters import delete_files
from consumer.worker.pipeline import ImagePipeline
from consumer.worker.stream import Entry
from schemas import tracing
from schemas.contract.corrections import CorrectionErrorCode, CorrectionMessage
from schemas.contract.errors import ImageErrorCode
from schemas.contract.messages import ContractError
from schemas.redis.corrections import CorrectionEnd, CorrectionStore, WaitingCorrections
from schemas.redis.results import CorrectionResult
from schemas.retry import retry_until_stopped
from schemas.storage.layout import output_key, version_name
from schemas.storage.storage import ObjectTooLargeError, Storage

log = structlog.get_logger()

MAX_RESULT_BYTES = 1 << 30
"""Larger than any WebP file can be that the service makes: of 16383 x 16383 pixels."""


@dataclass(eq=False, repr=False)
class CorrectionProcessor:
    """Makes the corrections of one result at a time, all that are waiting at once."""

    corrections: CorrectionStore
    storage: Storage
    pipeline: ImagePipeline
    covering: Covering
    metrics: WorkerMetrics
    stop: asyncio.Event

    def parse(self, fields: Mapping[bytes, bytes]) -> CorrectionMessage:
        """Read an entry; raises ContractError."""
        return CorrectionMessage.from_fields(fields)

    async def process(self, entry: Entry) -> None:
        """Settle an entry; raises StoppedError if a server is unavailable until the stop."""
        try:
            message = self.parse(entry.fields)
        except ContractError as error:
            log.warning("entry of corrections dropped", entry=entry.id, error=str(error))
            await retry_until_stopped(partial(self.corrections.drop, entry.id), self.stop)
            return
        tracing.annotate({tracing.TASK_ID: message.task_id, tracing.INDEX: message.index})
        while (waiting := await self._begin(entry, message)) is not None:
            if await self._make(entry, message, waiting) is not CorrectionResult.STALE:
                return
            self.metrics.corrections.labels("superseded").inc(len(waiting.covers))

    async def end_poison(self, entry: Entry) -> None:
        """Refuse the corrections of a poison entry; the result stays as it is."""
        try:
            message = self.parse(entry.fields)
        except ContractError:
            await self.corrections.drop(entry.id)
            return
        waiting = await self._begin(entry, message)
        if waiting is not None:
            code = CorrectionErrorCode.TOO_MANY_DELIVERIES
            await self._refuse(entry, message, waiting, code)

    async def _begin(self, entry: Entry, message: CorrectionMessage) -> WaitingCorrections | None:
        begin = partial(self.corrections.begin, entry.id, message)
        return await retry_until_stopped(begin, self.stop)

    async def _make(
        self, entry: Entry, message: CorrectionMessage, waiting: WaitingCorrections
    ) -> CorrectionResult:
        quads = [np.array(covers, np.float32) for covers in waiting.covers.values()]
        token = secrets.token_hex(8)

        def file(made: CorrectedImage) -> str:
            version = waiting.version + len(quads) - len(made.outside)
            return version_name(message.index, version, token)

        try:
            made = await self.covering.make(
                entry, message,
                load=partial(self._load, message, waiting),
                needed_bytes=self.pipeline.bytes_to_add_covers,
                work=lambda data: self.pipeline.add_covers(data, quads),
                key=lambda made: output_key(message.task_id, file(made)),
            )  # fmt: skip
        except ImageError as error:
            has_failed = error.code is ImageErrorCode.INTERNAL_ERROR
            codes = CorrectionErrorCode.RESULT_UNREADABLE, CorrectionErrorCode.INTERNAL_ERROR
            code = codes[has_failed]
            return await self._refuse(entry, message, waiting, code)
        ends = [
            CorrectionEnd(
                correction_id,
                CorrectionErrorCode.OUTSIDE_IMAGE if n in made.outside else None,
                (made.width, made.height),
            )
            for n, correction_id in enumerate(waiting.covers)
        ]
        return await self._finish(
            entry, message, waiting, ends, file(made) if made.webp else "", made.output_sha256
        )

    async def _load(self, message: CorrectionMessage, waiting: WaitingCorrections) -> bytes:
        key = output_key(message.task_id, waiting.file)
        try:
            return await self.covering.read(key, max_bytes=MAX_RESULT_BYTES)
        except (FileNotFoundError, ObjectTooLargeError):
            # If another version is the current one by now, the refusal has no effect.
            raise ImageError(ImageErrorCode.INPUT_MISSING, "not in storage") from None

    async def _refuse(
        self, entry: Entry, message: CorrectionMessage, waiting: WaitingCorrections,
        code: CorrectionErrorCode,
    ) -> CorrectionResult:  # fmt: skip
        ends = [CorrectionEnd(correction_id, code) for correction_id in waiting.covers]
        return await self._finish(entry, message, waiting, ends)

    async def _finish(
        self, entry: Entry, message: CorrectionMessage, waiting: WaitingCorrections,
        ends: list[CorrectionEnd], file: str = "", sha256: str = "",
    ) -> CorrectionResult:  # fmt: skip
        finish = partial(
            self.corrections.finish, entry.id, message, waiting.version, ends,
            file=file, sha256=sha256,
        )  # fmt: skip
        done = await retry_until_stopped(finish, self.stop)
        is_written = done is CorrectionResult.WRITTEN
        if file:
            obsolete = waiting.file if is_written else file
            await delete_files(self.storage, output_key(message.task_id, obsolete))
        if is_written:
            for end in ends:
                self.metrics.corrections.labels(end.code or "done").inc()
            log.info(
                "result corrected" if file else "corrections refused", entry=entry.id,
                task_id=message.task_id, index=message.index, corrections=[end.id for end in ends],
                codes=sorted({str(end.code) for end in ends if end.code}),
            )  # fmt: skip
        return done
