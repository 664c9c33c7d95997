"""Admission by memory: how many images are decoded at once depends on their size, not number."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager


class MemoryBudget:
    """Bytes that decoded images may take together. First come, first served.

    An image that is larger than the whole budget is admitted when it is the only one.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.used_bytes = 0

    @asynccontextmanager
    async def hold(self, size_bytes: int) -> AsyncIterator[None]:
        """Wait until `size_bytes` fit, and hold them until the block ends."""
        await self._acquire(size_bytes)
        try:
            yield
        finally:
            self.used_bytes -= size_bytes
            self._admit()

    @contextmanager
    def keep(self, size_bytes: int) -> Iterator[None]:
        """Hold `size_bytes` at once, for what is in memory already.

        Nothing waits here, and what is held beside it cannot leave before it: called while the
        image is held that it was made from, it leaves no gap that another image could take.
        """
        self.used_bytes += size_bytes
        try:
            yield
        finally:
            self.used_bytes -= size_bytes
            self._admit()

    async def _acquire(self, size_bytes: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size_bytes, turn))
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.used_bytes -= size_bytes
            self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting:
            size_bytes, turn = self._waiting[0]
            if turn.cancelled():
                self._waiting.popleft()
                continue
            if self.used_bytes and self.used_bytes + size_bytes > self._limit:
                return
            self._waiting.popleft()
            self.used_bytes += size_bytes
            turn.set_result(None)
