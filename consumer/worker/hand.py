"""What this process has in hand: entries with a lease to renew, and room for more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from consumer.worker.stream import Entry


class Hand:
    """Entries in work, at most `slots` of them, or a single redelivered one all by itself.

    A crash is charged to every entry that a process holds. So an entry that may have caused one
    is handled only while nothing else is held: the innocent are not buried with the poison.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._entries: dict[str, Entry] = {}
        self._reserved = 0
        self._waiting_alone = 0
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
        try:
            async with asyncio.timeout(patience_seconds), self._changed:
                await self._changed.wait_for(lambda: self._closed or self._has_room())
        except TimeoutError:
            pass
        if not self._closed and self._has_room():
            self._reserved = self._slots - len(self._entries)
        try:
            yield self._reserved
        finally:
            await self._change(reserved=0)

    def _has_room(self) -> bool:
        return not self._waiting_alone and len(self._entries) < self._slots

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
            try:
                async with asyncio.timeout(patience_seconds), self._changed:
                    await self._changed.wait_for(lambda: self._closed or self._is_free())
            except TimeoutError:
                pass
            yield not self._closed and self._is_free()
        finally:
            self._waiting_alone -= 1
            await self._change()

    def _is_free(self) -> bool:
        return not self._entries and not self._reserved

    async def _change(self, *, reserved: int | None = None) -> None:
        async with self._changed:
            if reserved is not None:
                self._reserved = reserved
            self._changed.notify_all()
