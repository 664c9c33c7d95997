"""Adding images to the Redis stream of the service, without HTTP. Needs the extra `redis`."""

import asyncio
import time
import uuid
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis import exceptions

from plate_detect_client.errors import PublishError
from plate_detect_client.files import FileInput, SourceFile, source_files
from plate_detect_client.names import is_task_id
from plate_detect_client.retry import Attempts, RetryPolicy
from plate_detect_client.steps import Pause

if TYPE_CHECKING:
    from redis import Redis
    from redis.asyncio import Redis as AsyncRedis
    from redis.typing import EncodableT, FieldT

PREFIX = "{plates}"
"""Default of the service's setting KEY_PREFIX."""

INLINE_MAX_BYTES = 1_048_576
"""Default of the service's setting INLINE_MAX_BYTES."""

# They pass with time: a lost connection, a failover, a full server.
_PASSING = (
    exceptions.ConnectionError, exceptions.TimeoutError, exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError, exceptions.MasterDownError, exceptions.TryAgainError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """One image as a stream entry."""

    task_id: str
    index: int
    total: int
    file: SourceFile

    def fields(self) -> "dict[FieldT, EncodableT]":
        """Read the file, and return the fields of the contract."""
        return {
            "v": "1",
            "task_id": self.task_id,
            "index": str(self.index),
            "total": str(self.total),
            "filename": self.file.name,
            "image": self.file.read(),
        }


def publish(
    redis: "Redis",
    files: Iterable[FileInput],
    *,
    task_id: str | None = None,
    prefix: str = PREFIX,
    max_bytes: int = INLINE_MAX_BYTES,
    retry: RetryPolicy | None = None,
) -> str:
    """Add the images of one task to the stream, one entry each, and return the task id.

    An entry that is added twice, because a response was lost, counts once.

    Args:
        task_id: 1 to 64 characters of `A-Z a-z 0-9 _ -`; by default a new one. To finish what a
            PublishError has left, publish the same files with the same id.
        prefix: the service's KEY_PREFIX.
        max_bytes: the service's INLINE_MAX_BYTES.

    Raises:
        ValueError: a file is too large for an entry; nothing was added.
        PublishError: Redis is unavailable, or refuses.
    """
    found = entries(source_files(files), task_id, max_bytes)
    adding = _adding(found, retry or RetryPolicy())
    step, error = next(adding, None), None
    while step is not None:
        error = None
        try:
            if isinstance(step, Pause):
                time.sleep(step.seconds)
            else:
                redis.xadd(f"{prefix}:images", step.fields())
        except exceptions.RedisError as failure:
            error = failure
        step = _next(adding, error)
    return found[0].task_id


async def publish_async(
    redis: "AsyncRedis",
    files: Iterable[FileInput],
    *,
    task_id: str | None = None,
    prefix: str = PREFIX,
    max_bytes: int = INLINE_MAX_BYTES,
    retry: RetryPolicy | None = None,
) -> str:
    """Do the same as `publish`, with redis.asyncio; files are read in threads."""
    found = entries(await asyncio.to_thread(source_files, files), task_id, max_bytes)
    adding = _adding(found, retry or RetryPolicy())
    step, error = next(adding, None), None
    while step is not None:
        error = None
        try:
            if isinstance(step, Pause):
                await asyncio.sleep(step.seconds)
            else:
                fields = await asyncio.to_thread(step.fields)
                await redis.xadd(f"{prefix}:images", fields)
        except exceptions.RedisError as failure:
            error = failure
        step = _next(adding, error)
    return found[0].task_id


_Adding = Generator[Entry | Pause, None, None]


def _next(adding: _Adding, error: exceptions.RedisError | None) -> Entry | Pause | None:
    try:
        return next(adding) if error is None else adding.throw(error)
    except StopIteration:
        return None


def _adding(entries: list[Entry], policy: RetryPolicy) -> _Adding:
    """Yield each entry until it is added, and the pauses between attempts."""
    for done, entry in enumerate(entries):
        attempts = Attempts(policy)
        while True:
            try:
                yield entry
                break
            except exceptions.RedisError as error:
                delay = attempts.next_delay() if isinstance(error, _PASSING) else None
                if delay is None:
                    raise PublishError(entry.task_id, done, len(entries)) from error
            yield Pause(delay)


def entries(files: list[SourceFile], task_id: str | None, max_bytes: int) -> list[Entry]:
    """Return the entries of one task; raises ValueError if one breaks the contract."""
    task_id = str(uuid.uuid4()) if task_id is None else task_id
    if not is_task_id(task_id):
        raise ValueError(f"not a task id: {task_id!r}")
    for file in files:
        if file.size > max_bytes:
            raise ValueError(
                f"{file.name}: more than {max_bytes} bytes do not fit into an entry; use HTTP"
            )
    return [Entry(task_id, index, len(files), file) for index, file in enumerate(files)]
