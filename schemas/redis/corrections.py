"""Corrections of results in Redis: the atomic steps, one method per script in `lua/`, and reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast

import orjson
from redis.asyncio import Redis

from schemas import tracing
from schemas.contract.corrections import (
    MAX_CORRECTIONS,
    CorrectionErrorCode,
    CorrectionMessage,
    CoversToAdd,
)
from schemas.contract.tasks import ImageResult
from schemas.redis.keys import WORKERS_GROUP, Keys
from schemas.redis.results import CorrectionRefusal, CorrectionResult
from schemas.redis.scripts import register
from schemas.redis.stored_results import from_stored
from schemas.storage.layout import index_of_version

Covers = Sequence[Sequence[tuple[float, float]]]


class CorrectionRefusedError(Exception):
    """A correction, or an acceptance, was not accepted."""

    def __init__(self, reason: CorrectionRefusal) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class AcceptedCorrection:
    """A correction as its task knows it: done with a version, refused with a code, or neither."""

    id: str
    index: int
    result: ImageResult
    version: int | None = None
    code: CorrectionErrorCode | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether it is still to be made."""
        return self.version is None and self.code is None


@dataclass(frozen=True, slots=True)
class WaitingCorrections:
    """The corrections of one result that are to be made, and the version to start from.

    `file`: name of that version's file; `covers`: of each correction, by its id.
    """

    version: int
    file: str
    covers: dict[str, Covers]


@dataclass(frozen=True, slots=True)
class CorrectionEnd:
    """What became of one correction: done, or refused with a code.

    `size`: width and height of the image, if it is known.
    """

    id: str
    code: CorrectionErrorCode | None = None
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class OutputFiles:
    """Files of a task's results: those in use, and the names that older versions may have had.

    `settled`: the indexes of images without a correction that is to be made.
    """

    used: frozenset[str]
    settled: frozenset[int]
    indexes: dict[str, int]

    def is_obsolete(self, name: str) -> bool:
        """Return whether a file is of no version that is, or can still become, the current one."""
        index = self.indexes.get(name, index_of_version(name))
        return index in self.settled and name not in self.used


class CorrectionStore:
    """Corrections of results. Every method is safe to repeat."""

    def __init__(self, redis: Redis, keys: Keys, *, task_ttl_ms: int) -> None:
        self._redis = redis
        self._keys = keys
        self._ttl = task_ttl_ms

    async def add(
        self, task_id: str, name: str, correction_id: str, covers: CoversToAdd, by: str,
        *, max_backlog: int,
    ) -> AcceptedCorrection:  # fmt: skip
        """Accept a correction of the result with a file name, to be made by a worker.

        Args:
            correction_id: the same for each repeat of the same request.
            by: a short digest of the caller's API key; empty if the service asks for none.

        Raises:
            CorrectionRefusedError: it is not accepted.
            redis.exceptions.OutOfMemoryError: the server is full.
        """
        record = orjson.dumps({"by": by, **covers.model_dump()})[1:]
        keys = [self._keys.task(task_id), self._keys.corrections]
        attributes: tracing.Attributes = {tracing.TASK_ID: task_id}
        with tracing.message_span("send", self._keys.corrections, attributes=attributes) as span:
            args: list[str | bytes | int] = [
                task_id, name.encode(errors="surrogatepass"), correction_id, record,
                MAX_CORRECTIONS, max_backlog, self._ttl, span.traceparent,
            ]  # fmt: skip
            reply = await self._run("correct", keys, args)
            span.set(tracing.OUTCOME, reply[0].decode())
        if reply[0] != b"accepted":
            _refuse(reply[0])
        return _accepted(correction_id, int(reply[1]), reply[2], reply[3])

    async def again(self, task_id: str, known: AcceptedCorrection) -> AcceptedCorrection | None:
        """Return a correction as it is now; None if its task was deleted meanwhile."""
        result, ended = cast(
            list[bytes | None],
            await self._redis.hmget(
                self._keys.task(task_id), [f"result:{known.index}", f"corrected:{known.id}"]
            ),
        )
        return None if result is None else _accepted(known.id, known.index, result, ended)

    async def accept(self, task_id: str, name: str, by: str) -> ImageResult:
        """Clear the mark of a result that needs review; raises CorrectionRefusedError."""
        keys = [self._keys.task(task_id), self._keys.reviews]
        reply = await self._run(
            "accept_result", keys, [task_id, name.encode(errors="surrogatepass"), by]
        )
        if reply[0] != b"accepted":
            _refuse(reply[0])
        return from_stored(reply[2], int(reply[1]))

    async def begin(self, entry: str, message: CorrectionMessage) -> WaitingCorrections | None:
        """Begin the corrections of one result; None if none is to be made, and the entry ended."""
        args: list[str | int] = [
            WORKERS_GROUP, entry, message.task_id, message.index, self._ttl,
        ]  # fmt: skip
        keys = [self._keys.task(message.task_id), self._keys.corrections]
        reply = await self._run("begin_correction", keys, args)
        if not reply:
            return None
        version, file, *rest = reply
        covers = {
            correction_id.decode(): orjson.loads(record)["covers"]
            for correction_id, record in zip(rest[::2], rest[1::2], strict=True)
        }
        return WaitingCorrections(int(version), file.decode(), covers)

    async def finish(
        self, entry: str, message: CorrectionMessage, base: int, ends: Sequence[CorrectionEnd],
        *, file: str = "", sha256: str = "",
    ) -> CorrectionResult:  # fmt: skip
        """Make a new version the current one, if `base` still is; end corrections and the entry.

        Args:
            base: the version that the new one was made from.
            file: name of the new version's file; without it, all corrections are refused.
        """
        keys = [self._keys.task(message.task_id), self._keys.corrections, self._keys.events]
        version = base + sum(end.code is None for end in ends)
        attributes: tracing.Attributes = {tracing.TASK_ID: message.task_id}
        with tracing.message_span("send", self._keys.events, attributes=attributes) as span:
            args: list[str | bytes | int] = [
                WORKERS_GROUP, entry, message.task_id, message.index, base, file, sha256,
                self._ttl, span.traceparent,
            ]  # fmt: skip
            for end in ends:
                args += [end.id, "done" if end.code is None else "refused", _record(end, version)]
            done = CorrectionResult((await self._run("finish_correction", keys, args)).decode())
            if not file or done is not CorrectionResult.WRITTEN:
                span.drop()  # only a new version sends an event
        return done

    async def mend(self, task_id: str) -> tuple[int, int]:
        """Add a task's deleted entries and unreported events again; return how many of each."""
        keys = [self._keys.task(task_id), self._keys.corrections, self._keys.events]
        added, published = await self._run(
            "mend_corrections", keys, [task_id, self._ttl, self._ttl]
        )
        return int(added), int(published)

    async def output_files(self, task_id: str) -> OutputFiles:
        """Return which files a task's results use."""
        fields = cast(dict[bytes, bytes], await self._redis.hgetall(self._keys.task(task_id)))
        used, settled, indexes = set(), set(), {}
        for index in range(int(fields.get(b"total", 0))):
            if (result := fields.get(b"result:%d" % index)) is None:
                continue
            name = ImageResult.model_validate_json(result).filename
            version = fields.get(b"version:%d" % index)
            indexes[name] = index
            used.add(name if version is None else version.split()[1].decode())
            ids = fields.get(b"corrections:%d" % index, b"").split()
            if all(b"corrected:" + correction in fields for correction in ids):
                settled.add(index)
        return OutputFiles(frozenset(used), frozenset(settled), indexes)

    async def drop(self, entry: str) -> None:
        """End an entry that names no result."""
        await self._redis.xack(self._keys.corrections, WORKERS_GROUP, entry)
        await self._redis.xdel(self._keys.corrections, entry)

    async def waiting(self) -> int:
        """Return the number of entries in the stream of corrections."""
        return int(await self._redis.xlen(self._keys.corrections))

    async def _run(self, name: str, keys: list[str], args: Sequence[Any]) -> Any:
        return await register(self._redis, name)(keys=keys, args=args)


def _refuse(reason: bytes) -> NoReturn:
    raise CorrectionRefusedError(CorrectionRefusal(reason.decode()))


def _accepted(
    correction_id: str, index: int, result: bytes, ended: bytes | None
) -> AcceptedCorrection:
    end = orjson.loads(ended) if ended else {}
    code = CorrectionErrorCode(end["code"]) if "code" in end else None
    public = from_stored(result, index)
    return AcceptedCorrection(correction_id, index, public, end.get("version"), code)


def _record(end: CorrectionEnd, version: int) -> bytes:
    """Return the fields of a correction's end as JSON without its first brace."""
    what = {"version": version} if end.code is None else {"code": end.code}
    size = {} if end.size is None else {"width": end.size[0], "height": end.size[1]}
    return orjson.dumps(what | size)[1:]
