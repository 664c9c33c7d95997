"""How many images are decoded at once depends on the memory they need, not on their number."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager


class MemoryBudget:
    """Bytes that decoded images may take together. First come, first served.

    An image that is larger than the whole budget is admitted when no other one is.
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
            self._release(size_bytes)

    @contextmanager
    def hold_now(self, size_bytes: int) -> Iterator[None]:
        """Hold `size_bytes` of what is in memory already, without waiting.

        Enter it for a result while its image's memory is still held: then no other image can take
        the memory in between.
        """
        self.used_bytes += size_bytes
        try:
            yield
        finally:
            self._release(size_bytes)

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

    def _release(self, size_bytes: int) -> None:
        self.used_bytes -= size_bytes
        self._admit()

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
