"""The atomic steps of a task, as calls."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from schemas.contract.errors import IMAGE_ERROR_MEANINGS, ImageErrorCode
from schemas.contract.messages import MAX_TOTAL, ImageMessage
from schemas.contract.tasks import ImageFailure, ImageResult, Progress, TaskState, TaskStatus
from schemas.redis import scripts
from schemas.redis.keys import STRANDED_CONSUMER, WORKERS_GROUP, Keys
from schemas.redis.script_pipeliner import ScriptPipeliner


class SubmitAnswer(StrEnum):
    """What became of a submitted task.

    `exists`: an earlier call with this id was accepted. `lost`: another upload holds the
    idempotency key by now.
    """

    ACCEPTED = "accepted"
    EXISTS = "exists"
    BACKLOG = "backlog"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Binding:
    """What a submit binds to an idempotency key: `digest` tells one request's content.

    `record` names the key (a digest of scope and key), `token` the upload that holds it.
    """

    record: str
    token: str
    digest: str


@dataclass(frozen=True, slots=True)
class EarlierUse:
    """The task that an idempotency key has become, and the digest of its request's content."""

    task_id: str
    digest: str


class KeyBusyError(Exception):
    """Another upload holds the idempotency key."""


class BeginAnswer(StrEnum):
    """Whether an image is to be processed, and if not, why.

    `output_taken`: under another name, since replaced characters made two names of results equal.
    """

    RUN = "run"
    DUPLICATE = "duplicate"
    GONE = "gone"
    INDEX_CONFLICT = "index_conflict"
    TOTAL_CONFLICT = "total_conflict"
    TOTAL_TOO_LARGE = "total_too_large"
    INDEX_OUT_OF_RANGE = "index_out_of_range"
    OUTPUT_CONFLICT = "output_conflict"
    OUTPUT_TAKEN = "output_taken"


class FinishAnswer(StrEnum):
    """What an outcome did: counted, closed the task, or came too late (`closed`, `gone`)."""

    WRITTEN = "written"
    COMPLETED = "completed"
    FAILED = "failed"
    CLOSED = "closed"
    GONE = "gone"
    RECORDED = "recorded"
    SETTLED = "settled"


_PIPELINED = frozenset({"begin", "finish"})
"""The steps that every image takes."""


class TaskStore:
    """Tasks in Redis. Every method is at most one round trip and safe to repeat."""

    def __init__(self, redis: Redis, keys: Keys, *, task_ttl_ms: int) -> None:
        self._redis = redis
        self._keys = keys
        self._ttl = task_ttl_ms
        self._pipeliner = ScriptPipeliner(redis)
        self._scripts = {
            name: redis.register_script(scripts.source(name))
            for name in (
                "submit", "begin", "finish", "dead_letter", "renew", "expire", "delete", "reap",
                "restore", "reserve", "release", "start_attempt",
            )
        }  # fmt: skip

    async def submit(
        self,
        task_id: str,
        messages: Sequence[ImageMessage],
        *,
        max_backlog: int,
        binding: Binding | None = None,
        replay_of: str = "",
    ) -> SubmitAnswer:
        """Accept a task whole or not at all; raises redis' OutOfMemoryError on a full server.

        `replay_of` names the dead letter that the task repeats.
        """
        args: list[str | bytes | int] = [
            task_id, len(messages), max_backlog, self._ttl,
            binding.token if binding else "", binding.digest if binding else "", replay_of,
        ]  # fmt: skip
        for message in messages:
            flat = [part for pair in message.to_fields().items() for part in pair]
            args += [len(flat), *flat]
        keys = [self._keys.task(task_id), self._keys.images, self._keys.open_tasks]
        if binding is not None:
            keys.append(self._keys.idempotency(binding.record))
        return SubmitAnswer(await self._run("submit", keys, args))

    async def reserve(self, record: str, token: str, *, lease_ms: int) -> EarlierUse | None:
        """Hold an idempotency key, or renew the hold; None: held.

        Raises:
            KeyBusyError: another upload holds it.
        """
        args: list[str | int] = [token, lease_ms, self._keys.task("")]
        answer: list[bytes] = await self._run("reserve", [self._keys.idempotency(record)], args)
        if answer[0] == b"busy":
            raise KeyBusyError
        return EarlierUse(answer[1].decode(), answer[2].decode()) if len(answer) > 1 else None

    async def release(self, record: str, token: str) -> None:
        """Give a hold back; nothing happens if it is not this upload's or has become a task."""
        await self._run("release", [self._keys.idempotency(record)], [token])

    async def begin(
        self,
        entry: str,
        message: ImageMessage,
        *,
        output: str | None = None,
        max_total: int = MAX_TOTAL,
    ) -> BeginAnswer:
        """Take up an image. `duplicate` and `gone` have been acked and deleted.

        `output` is the name of its result, the message's own by default; after `output_taken`,
        another will do. `max_total` is the most images of a task that is not known yet.
        """
        keys = [self._keys.task(message.task_id), self._keys.images, self._keys.open_tasks]
        args = [
            WORKERS_GROUP, entry, message.task_id, message.index,
            "" if message.total is None else message.total,
            message.identity, message.asked_output, self._ttl, max_total,
            output or message.output_name,
        ]  # fmt: skip
        return BeginAnswer(await self._run("begin", keys, args))

    async def finish(
        self,
        entry: str,
        message: ImageMessage,
        public: ImageResult | ImageFailure,
        provenance: dict[str, Any],
    ) -> FinishAnswer:
        """Write an image's outcome and give up its entry."""
        kind = "result" if isinstance(public, ImageResult) else "error"
        args = [
            WORKERS_GROUP, entry, message.task_id, message.index, kind,
            public.model_dump_json(), orjson.dumps(provenance), self._ttl,
        ]  # fmt: skip
        return FinishAnswer(await self._run("finish", self._closing_keys(message.task_id), args))

    async def dead_letter(
        self,
        entry: str,
        *,
        reason: str,
        task_id: str = "",
        failure: ImageFailure | None = None,
        total: int | None = None,
        metadata: dict[str, str | int] | None = None,
    ) -> FinishAnswer:
        """Give an entry up with its reason; `failure` also fails that image of the task."""
        flat = [part for pair in (metadata or {}).items() for part in pair]
        args = [
            WORKERS_GROUP, entry, task_id, -1 if failure is None else failure.index,
            "" if total is None else total,
            "" if failure is None else failure.model_dump_json(),
            orjson.dumps({"stream_id": entry, "reason": reason}), self._ttl, reason, *flat,
        ]  # fmt: skip
        keys = [*self._closing_keys(task_id), self._keys.dead_letters]
        return FinishAnswer(await self._run("dead_letter", keys, args))

    async def start_attempt(self, entry: str, message: ImageMessage, delivery: int) -> None:
        """Charge an image with this delivery of its entry, until it is acquitted."""
        keys = [self._keys.task(message.task_id)]
        await self._run("start_attempt", keys, [message.index, entry, delivery])

    async def clear_attempts(self, message: ImageMessage) -> None:
        """Forget an image's trials: its pixels have been worked on without harm."""
        await self._redis.hdel(self._keys.task(message.task_id), f"trials:{message.index}")

    async def failed_attempts(self, entry: str, message: ImageMessage, deliveries: int) -> int:
        """Deliveries, up to the given one, that ended while the image's pixels were worked on.

        A later one is another worker's, and under way.
        """
        key = self._keys.task(message.task_id)
        held = cast(bytes | None, await self._redis.hget(key, f"trials:{message.index}"))
        if held is None:
            return 0
        count, of, last = held.decode().split()
        is_under_way = of == entry and int(last) > deliveries
        return int(count) - is_under_way

    async def renew(self, consumer: str, entries: Iterable[str]) -> list[str]:
        """Keep leases; returns the entries that another consumer has taken over."""
        args = [WORKERS_GROUP, consumer, STRANDED_CONSUMER, *entries]
        lost = await self._run("renew", [self._keys.images], args)
        return [entry.decode() for entry in cast(list[bytes], lost)]

    async def expire(self, task_id: str, *, timeout_ms: int) -> str:
        """Fail what will never come; returns closed, active, queued or the final status."""
        code = ImageErrorCode.TIMED_OUT
        args = [task_id, timeout_ms, self._ttl, code, IMAGE_ERROR_MEANINGS[code]]
        return str(await self._run("expire", self._closing_keys(task_id), args))

    async def restore(self, task_id: str, *, silent_ms: int) -> int:
        """Add open images again whose entries are gone; returns how many."""
        keys = [self._keys.task(task_id), self._keys.images, self._keys.open_tasks]
        return int(await self._run("restore", keys, [task_id, silent_ms]))

    async def delete(self, task_id: str) -> bool:
        """Leave a tombstone; False if there is no such task. Files are the caller's."""
        code = ImageErrorCode.DELETED
        keys = [self._keys.task(task_id), self._keys.open_tasks, self._keys.events]
        args = [task_id, self._ttl, code, IMAGE_ERROR_MEANINGS[code]]
        return bool(await self._run("delete", keys, args) != "missing")

    async def reap(self, stream: str, group: str, *, min_idle_ms: int) -> list[str]:
        """Remove consumers that are silent and hold nothing; returns their names."""
        names = await self._run("reap", [stream], [group, min_idle_ms])
        return [name.decode() for name in cast(list[bytes], names)]

    async def state(self, task_id: str) -> TaskState | None:
        """The task as its user sees it, or None if there is none."""
        fields = cast(dict[bytes, bytes], await self._redis.hgetall(self._keys.task(task_id)))
        return _task_state(task_id, fields) if b"status" in fields else None

    async def backlog(self) -> int:
        """Entries in the work stream: waiting plus in flight."""
        return int(await self._redis.xlen(self._keys.images))

    def _closing_keys(self, task_id: str) -> list[str]:
        keys = self._keys
        return [keys.task(task_id), keys.images, keys.open_tasks, keys.events]

    async def _run(self, name: str, keys: list[str], args: Sequence[Any]) -> Any:
        script = self._scripts[name]
        if name in _PIPELINED:
            answer = await self._pipeliner.run(script, keys, args)
        else:
            answer = await script(keys=keys, args=args)
        return answer.decode() if isinstance(answer, bytes) else answer


def _task_state(task_id: str, fields: dict[bytes, bytes]) -> TaskState:
    total = int(fields[b"total"])
    results, errors = [], []
    for index in range(total):
        if (result := fields.get(b"result:%d" % index)) is not None:
            results.append(ImageResult.model_validate_json(result))
        if (failure := fields.get(b"error:%d" % index)) is not None:
            errors.append(ImageFailure.model_validate_json(failure))
    return TaskState(
        task_id=task_id,
        status=TaskStatus(fields[b"status"].decode()),
        results=results,
        errors=errors,
        progress=Progress(done=int(fields[b"done"]), total=total),
        needs_review=any(result.needs_review for result in results),
    )
