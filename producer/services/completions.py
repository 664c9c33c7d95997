"""Wakes the watchers of a task when its completion event appears on the stream."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from schemas.retry import pause, run_periodically

READ_BLOCK_SECONDS = 5.0
_PAGE = 100
_START_SECONDS = 0.5
_CANCEL_SECONDS = 0.1


class Completions:
    """Reads the event stream once for all watchers of this process, and only while there are any.

    It only saves time: a watcher still reads the state of its task now and then.

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
        self._last_id = b""

    @asynccontextmanager
    async def watch(self, task_id: str) -> AsyncIterator[asyncio.Event]:
        """Give an event that is set once the task has ended, if that happens within the block."""
        wakeup = asyncio.Event()
        self._watchers[task_id].add(wakeup)
        self._wanted.set()
        try:
            await pause(_START_SECONDS, self._reading)
            yield wakeup
        finally:
            self._watchers[task_id].discard(wakeup)
            if not self._watchers[task_id]:
                del self._watchers[task_id]
            if not self._watchers:
                self._wanted.clear()

    def wake_all(self) -> None:
        """Wake every watcher: the process is stopping."""
        for wakeups in self._watchers.values():
            for wakeup in wakeups:
                wakeup.set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the stream within the block."""
        task = asyncio.create_task(run_periodically("completions", self._read, asyncio.Event()))
        try:
            yield
        finally:
            # Python 3.11 may lose a cancellation that meets the end of a `wait_for` (of a write).
            while not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=_CANCEL_SECONDS)

    async def _read(self) -> float:
        """Read one page of the stream; from its end on if there was no watcher before."""
        if not self._wanted.is_set():
            self._reading.clear()
            await self._wanted.wait()
        if not self._reading.is_set():
            newest: Any = await self._reader.xrevrange(self._stream, count=1)
            self._last_id = newest[0][0] if newest else b"0"
            self._reading.set()
        block_ms = int(READ_BLOCK_SECONDS * 1000)
        response: Any = await self._reader.xread(
            {self._stream: self._last_id}, count=_PAGE, block=block_ms
        )
        for entry_id, fields in response[0][1] if response else []:
            self._last_id = entry_id
            # Others can write to the stream too: bytes that are no text name no task.
            task_id = fields.get(b"task_id", b"").decode(errors="replace")
            for wakeup in self._watchers.get(task_id, ()):
                wakeup.set()
        return 0.0
