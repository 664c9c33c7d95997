"""What this process has in hand: entries with a lease to renew, and room for more."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from consumer.worker.stream import Entry


class Hand:
    """Entries in work, at most `slots` of them, or a single redelivered one all by itself.

    A crash takes every entry with it that a process holds. So an entry that may have caused one
    (see trials.py) is handled only while nothing else is held.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._entries: dict[str, Entry] = {}
        self._reserved = 0
        self._waiting_alone = 0
        self._waiting_ahead = 0
        self._closed = False
        self._changed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, entry_id: str) -> bool:
        return entry_id in self._entries

    @property
    def entry_ids(self) -> list[str]:
        """Entries whose leases are to be renewed."""
        return list(self._entries)

    @asynccontextmanager
    async def reserve(self, *, patience_seconds: float | None = None) -> AsyncIterator[int]:
        """Wait for room and keep it for one read; yields the free slots.

        Yields 0 if the hand was closed, or had no room in time (None: for as long as it takes).
        """
        has_turn = await self._wait(
            lambda: not self._waiting_alone and not self._waiting_ahead and self._free() > 0,
            patience_seconds,
        )
        async with self._reserving(self._free() if has_turn else 0) as free:
            yield free

    @asynccontextmanager
    async def reserve_ahead(self, most: int, *, patience_seconds: float) -> AsyncIterator[int]:
        """Wait for room ahead of any read, and keep up to `most` slots; yields how many.

        A read keeps all that is free, and one follows the other: whoever waits beside them would
        never have a turn. Yields 0 if the hand was closed, or had no room in time.
        """
        self._waiting_ahead += 1
        try:
            has_turn = await self._wait(lambda: self._free() > 0, patience_seconds)
        finally:
            self._waiting_ahead -= 1
        async with self._reserving(min(most, self._free()) if has_turn else 0) as free:
            yield free

    @asynccontextmanager
    async def _reserving(self, slots: int) -> AsyncIterator[int]:
        self._reserved += slots
        try:
            await self._change()
            yield slots
        finally:
            self._reserved -= slots
            await self._change()

    def _free(self) -> int:
        return self._slots - len(self._entries) - self._reserved

    async def close(self) -> None:
        """Take nothing more."""
        self._closed = True
        await self._change()

    def take(self, entry: Entry) -> None:
        """Hold an entry from now on."""
        self._entries[entry.id] = entry

    async def drop(self, entry_id: str) -> None:
        """Hold it no longer: it is settled, or left to its lease."""
        self._entries.pop(entry_id, None)
        await self._change()

    @asynccontextmanager
    async def alone(self, *, patience_seconds: float) -> AsyncIterator[bool]:
        """Wait until nothing is held and no read is under way, and keep it so.

        Yields False if the hand was closed, or not empty in time: an entry that waits for a
        server must not keep this process from reading for ever.
        """
        self._waiting_alone += 1
        try:
            yield await self._wait(self._is_free, patience_seconds)
        finally:
            self._waiting_alone -= 1
            await self._change()

    def _is_free(self) -> bool:
        return not self._entries and not self._reserved

    async def _wait(self, condition: Callable[[], bool], patience_seconds: float | None) -> bool:
        """Whether it came true in time, and the hand is not closed."""
        try:
            async with asyncio.timeout(patience_seconds), self._changed:
                await self._changed.wait_for(lambda: self._closed or condition())
        except TimeoutError:
            pass
        return not self._closed and condition()

    async def _change(self) -> None:
        async with self._changed:
            self._changed.notify_all()
