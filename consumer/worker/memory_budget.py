"""How many images are decoded at once depends on the memory they need, not on their number."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager


class MemoryBudget:
    """Bytes that decoded images may take together. First come, first served.

    An image that is larger than the whole budget is admitted when no other one is.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._first_in_line = asyncio.Lock()
        self._released = asyncio.Event()
        self.used_bytes = 0

    @asynccontextmanager
    async def hold(self, size_bytes: int) -> AsyncIterator[None]:
        """Wait until `size_bytes` fit, and hold them until the block ends."""
        async with self._first_in_line:
            while self.used_bytes and self.used_bytes + size_bytes > self._limit:
                self._released.clear()
                await self._released.wait()
        with self.hold_now(size_bytes):
            yield

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
            self.used_bytes -= size_bytes
            self._released.set()
