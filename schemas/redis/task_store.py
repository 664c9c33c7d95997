"""Tasks in Redis: the atomic steps of a task, one method per script in `lua/`, and reads."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import orjson
from redis.asyncio import Redis

from schemas import tracing
from schemas.contract.errors import IMAGE_ERROR_MEANINGS, ImageErrorCode
from schemas.contract.messages import MAX_TOTAL, ImageMessage
from schemas.contract.tasks import ImageFailure, ImageResult, TaskState
from schemas.redis.keys import STRANDED_CONSUMER, WORKERS_GROUP, Keys
from schemas.redis.results import BeginResult, FinishResult, SubmitResult
from schemas.redis.script_pipeliner import ScriptPipeliner
from schemas.redis.scripts import register
from schemas.redis.stored_results import task_state, to_stored


class WorkItem(Protocol):
    """What a worker processes: an image, or the corrections of a result."""

    @property
    def task_id(self) -> str:
        """The task that it belongs to."""

    @property
    def attempts_name(self) -> str:
        """Name under which the task counts its failed attempts."""


@dataclass(frozen=True, slots=True)
class Binding:
    """What a submit binds to an idempotency key.

    `record` names the key (a digest of scope and key), `token` the upload that holds it, `digest`
    the request's content.
    """

    record: str
    token: str
    digest: str


@dataclass(frozen=True, slots=True)
class EarlierUse:
    """The task that an idempotency key is bound to, and the digest of its request's content."""

    task_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class LocatedResult:
    """Where a result is: the name of its file in storage, and its version (see `ImageResult`)."""

    file: str
    version: int


class KeyBusyError(Exception):
    """Another upload holds the idempotency key."""


class TaskStore:
    """Tasks in Redis. Every method but `locate_result` is one round trip, and safe to repeat."""

    def __init__(self, redis: Redis, keys: Keys, *, task_ttl_ms: int) -> None:
        self._redis = redis
        self._keys = keys
        self._ttl = task_ttl_ms
        self._pipeliner = ScriptPipeliner(redis)

    async def submit(
        self,
        task_id: str,
        messages: Sequence[ImageMessage],
        *,
        max_backlog: int,
        binding: Binding | None = None,
        replay_of: str = "",
    ) -> SubmitResult:
        """Accept a task whole or not at all; `replay_of` is the dead letter that it repeats.

        Raises:
            redis.exceptions.OutOfMemoryError: the server is full.
        """
        args: list[str | bytes | int] = [
            task_id, len(messages), max_backlog, self._ttl,
            binding.token if binding else "", binding.digest if binding else "", replay_of,
        ]  # fmt: skip
        keys = self._open_keys(task_id)
        if binding is not None:
            keys.append(self._keys.idempotency(binding.record))
        attributes: tracing.Attributes = {
            tracing.TASK_ID: task_id, "messaging.batch.message_count": len(messages),
        }  # fmt: skip
        with tracing.message_span("send", self._keys.images, attributes=attributes) as span:
            trace = {"traceparent": span.traceparent} if span.traceparent else {}
            for message in messages:
                flat = [part for pair in (trace | message.to_fields()).items() for part in pair]
                args += [len(flat), *flat]
            result = SubmitResult(await self._run("submit", keys, args))
            span.set(tracing.OUTCOME, result)
        return result

    async def reserve(self, record: str, token: str, *, lease_ms: int) -> EarlierUse | None:
        """Reserve an idempotency key or renew its lease; return the task it is bound to, if any.

        Raises:
            KeyBusyError: another upload holds it.
        """
        args: list[str | int] = [token, lease_ms, self._keys.task("")]
        row: list[bytes] = await self._run("reserve", [self._keys.idempotency(record)], args)
        if row[0] == b"busy":
            raise KeyBusyError
        return EarlierUse(row[1].decode(), row[2].decode()) if row[0] == b"used" else None

    async def release(self, record: str, token: str) -> None:
        """Release an idempotency key, unless another upload holds it or it is bound to a task."""
        await self._run("release", [self._keys.idempotency(record)], [token])

    async def begin(
        self,
        entry: str,
        message: ImageMessage,
        *,
        output: str | None = None,
        max_total: int = MAX_TOTAL,
    ) -> BeginResult:
        """Begin an image. Entries of `duplicate` and `gone` have been acked and deleted.

        Args:
            output: name of its result; default: the message's own. After `output_taken`, call
                again with another one.
            max_total: limit of images for a task that is not known yet.
        """
        args = [
            WORKERS_GROUP, entry, message.task_id, message.index,
            "" if message.total is None else message.total,
            message.identity, message.asked_output, self._ttl, max_total,
            output or message.output_name,
        ]  # fmt: skip
        return BeginResult(await self._run("begin", self._open_keys(message.task_id), args))

    async def finish(
        self,
        entry: str,
        message: ImageMessage,
        public: ImageResult | ImageFailure,
        provenance: dict[str, Any],
    ) -> FinishResult:
        """Write an image's outcome, then ack and delete its entry."""
        if isinstance(public, ImageResult):
            kind, stored = "result", to_stored(public)
        else:
            kind, stored = "error", public.model_dump_json()
        attributes = {tracing.TASK_ID: message.task_id}
        with tracing.message_span("send", self._keys.events, attributes=attributes) as span:
            args = [
                WORKERS_GROUP, entry, message.task_id, message.index, kind,
                stored, orjson.dumps(provenance), self._ttl, span.traceparent,
            ]  # fmt: skip
            done = await self._run("finish", self._closing_keys(message.task_id), args)
            if done not in (FinishResult.COMPLETED, FinishResult.FAILED):
                span.drop()  # only the last image of a task sends an event
        return FinishResult(done)

    async def dead_letter(
        self,
        entry: str,
        *,
        reason: str,
        task_id: str = "",
        failure: ImageFailure | None = None,
        total: int | None = None,
        metadata: dict[str, str | int] | None = None,
    ) -> FinishResult:
        """Dead-letter an entry with its reason; `failure` also fails that image of the task."""
        flat = [part for pair in (metadata or {}).items() for part in pair]
        args = [
            WORKERS_GROUP, entry, task_id, -1 if failure is None else failure.index,
            "" if total is None else total,
            "" if failure is None else failure.model_dump_json(),
            orjson.dumps({"stream_id": entry, "reason": reason}), self._ttl, reason, *flat,
        ]  # fmt: skip
        keys = [*self._closing_keys(task_id), self._keys.dead_letters]
        return FinishResult(await self._run("dead_letter", keys, args))

    async def start_attempt(self, entry: str, message: WorkItem, delivery: int) -> None:
        """Count this delivery as a failed attempt until `clear_attempts`."""
        keys = [self._keys.task(message.task_id)]
        await self._run("start_attempt", keys, [message.attempts_name, entry, delivery])

    async def clear_attempts(self, message: WorkItem) -> None:
        """Forget an item's attempts: it has been processed without harm to the process."""
        key = self._keys.task(message.task_id)
        await self._redis.hdel(key, f"trials:{message.attempts_name}")

    async def failed_attempts(self, entry: str, message: WorkItem, deliveries: int) -> int:
        """Return how many deliveries, up to the given one, ended while the item was processed.

        A later delivery belongs to another worker and is in progress.
        """
        key = self._keys.task(message.task_id)
        stored = cast(bytes | None, await self._redis.hget(key, f"trials:{message.attempts_name}"))
        if stored is None:
            return 0
        count, last_entry, last_delivery = stored.decode().split()
        is_in_progress = last_entry == entry and int(last_delivery) > deliveries
        return int(count) - is_in_progress

    async def renew(
        self, consumer: str, entries: Iterable[str], *, stream: str | None = None
    ) -> list[str]:
        """Renew leases on a stream, default: images; return what other consumers own now."""
        args = [WORKERS_GROUP, consumer, STRANDED_CONSUMER, *entries]
        lost: list[bytes] = await self._run("renew", [stream or self._keys.images], args)
        return [entry.decode() for entry in lost]

    async def expire(self, task_id: str, *, timeout_ms: int) -> str:
        """Fail images that will never come; return closed, active, queued or the final status."""
        code = ImageErrorCode.TIMED_OUT
        args = [task_id, timeout_ms, self._ttl, code, IMAGE_ERROR_MEANINGS[code]]
        return str(await self._run("expire", self._closing_keys(task_id), args))

    async def restore(self, task_id: str, *, min_idle_ms: int) -> int:
        """Add open images of an idle task again whose entries are missing; return how many."""
        return int(await self._run("restore", self._open_keys(task_id), [task_id, min_idle_ms]))

    async def delete(self, task_id: str) -> bool:
        """Replace a task with a tombstone; False if it is unknown. Files are the caller's."""
        code = ImageErrorCode.DELETED
        keys = [
            self._keys.task(task_id), self._keys.open_tasks, self._keys.events, self._keys.reviews,
        ]  # fmt: skip
        args = [task_id, self._ttl, code, IMAGE_ERROR_MEANINGS[code]]
        return bool(await self._run("delete", keys, args) != "missing")

    async def state(self, task_id: str) -> TaskState | None:
        """Return the task as its user sees it, or None if it is unknown."""
        fields = cast(dict[bytes, bytes], await self._redis.hgetall(self._keys.task(task_id)))
        return task_state(task_id, fields) if b"status" in fields else None

    async def locate_result(self, task_id: str, name: str) -> LocatedResult | None:
        """Locate the result with a file name; None if the task has none. Two round trips.

        The cost does not grow with the task, unlike that of `state`.
        """
        key = self._keys.task(task_id)
        # A name from a URL may hold surrogates, which UTF-8 cannot encode.
        field = b"output:" + name.encode(errors="surrogatepass")
        # Each output name is reserved for one image before it has a result.
        index = cast(bytes | None, await self._redis.hget(key, field))
        if index is None:
            return None
        fields = [f"result:{int(index)}", f"version:{int(index)}"]
        result, version = cast(list[bytes | None], await self._redis.hmget(key, fields))
        if result is None or ImageResult.model_validate_json(result).filename != name:
            return None
        if version is None:
            return LocatedResult(name, 0)
        number, file, *_ = version.decode().split()
        return LocatedResult(file, int(number))

    async def backlog(self) -> int:
        """Return the number of entries in the work stream: waiting plus in flight."""
        return int(await self._redis.xlen(self._keys.images))

    async def backlog_age_ms(self) -> int:
        """Return the age of the oldest entry in the work stream, by the server's clock."""
        return int(await self._run("backlog_age", [self._keys.images], []))

    async def open_tasks(self) -> int:
        """Return the number of tasks that have not ended."""
        return int(await self._redis.zcard(self._keys.open_tasks))

    def _open_keys(self, task_id: str) -> list[str]:
        return [self._keys.task(task_id), self._keys.images, self._keys.open_tasks]

    def _closing_keys(self, task_id: str) -> list[str]:
        return [*self._open_keys(task_id), self._keys.events, self._keys.reviews]

    async def _run(self, name: str, keys: list[str], args: Sequence[Any]) -> Any:
        script = register(self._redis, name)
        if name in ("begin", "finish"):  # every image takes these steps
            result = await self._pipeliner.run(script, keys, args)
        else:
            result = await script(keys=keys, args=args)
        return result.decode() if isinstance(result, bytes) else result
