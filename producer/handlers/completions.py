"""Wakes whoever watches a task when its completion event appears on the stream."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.backoff import EqualJitterBackoff
from redis.exceptions import RedisError

READ_BLOCK_SECONDS = 5.0
_PAGE = 100
_PAUSES = EqualJitterBackoff(base=0.1, cap=2.0)
_MOST_FAILURES = 10  # the pause has its cap long before, and endless doubling would overflow
_START_PATIENCE_SECONDS = 0.5
_CANCEL_AGAIN_SECONDS = 0.1

log = structlog.get_logger(__name__)


class Completions:
    """Reads the event stream once for all watchers of this process, and only while there are any.

    A convenience, not a promise: who watches asks for the task's state now and then all the same.

    Args:
        reader: a connection of its own for the blocking read.
        stream: key of the event stream.
    """

    def __init__(self, reader: Redis, stream: str) -> None:
        self._reader = reader
        self._stream = stream
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._wanted = asyncio.Event()
        self._reading = asyncio.Event()
        self._failures = 0

    @asynccontextmanager
    async def watch(self, task_id: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set once the task has ended, if that happens within the block."""
        woken = asyncio.Event()
        self._watchers[task_id].add(woken)
        self._wanted.set()
        try:
            await _within(self._reading, _START_PATIENCE_SECONDS)
            yield woken
        finally:
            self._watchers[task_id].discard(woken)
            if not self._watchers[task_id]:
                del self._watchers[task_id]
            if not self._watchers:
                self._wanted.clear()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve within the block."""
        task = asyncio.create_task(self._serve())
        try:
            yield
        finally:
            # Python 3.11 may lose a cancellation that meets the end of a `wait_for` (of a write).
            while not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=_CANCEL_AGAIN_SECONDS)

    async def _serve(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                await self._read_while_wanted()
            except (RedisError, OSError) as error:
                if not self._failures:
                    # One line per outage, not per try.
                    log.warning("redis is away", during="completions", error=repr(error))
                await asyncio.sleep(_PAUSES.compute(self._failures))
                self._failures = min(self._failures + 1, _MOST_FAILURES)
            finally:
                self._reading.clear()

    async def _read_while_wanted(self) -> None:
        newest: Any = await self._reader.xrevrange(self._stream, count=1)
        last = newest[0][0] if newest else b"0"
        self._reading.set()
        while self._wanted.is_set():
            block = int(READ_BLOCK_SECONDS * 1000)
            answer: Any = await self._reader.xread({self._stream: last}, count=_PAGE, block=block)
            self._failures = 0
            for entry_id, fields in answer[0][1] if answer else []:
                last = entry_id
                # Anybody may write to the stream: what is no text is the name of no task.
                task_id = fields.get(b"task_id", b"").decode(errors="replace")
                for woken in self._watchers.get(task_id, ()):
                    woken.set()


async def _within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
