"""The entries that this process has in flight, whose leases are renewed, and room for more."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from consumer.worker.stream import Entry, EntryKey


class InFlight:
    """About `slots` entries in flight, or a single redelivered one in exclusive mode.

    Twice as many at most: a read takes up to the number of free slots from each of two streams.

    A crash ends the work on every entry that a process has in flight. So an entry that may have
    caused one (see poison.py) is processed only while nothing else is in flight.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._entries: dict[EntryKey, Entry] = {}
        self._reserved = 0
        self._waiting_exclusive = 0
        self._waiting_ahead = 0
        self._closed = False
        self._changed = asyncio.Condition()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: EntryKey) -> bool:
        return key in self._entries

    @property
    def keys(self) -> list[EntryKey]:
        """The entries whose leases are renewed."""
        return list(self._entries)

    @asynccontextmanager
    async def reserve(self, *, timeout_seconds: float) -> AsyncIterator[int]:
        """Wait for free slots and reserve them for one read; yield their number.

        Yields 0 after `close`, or if there is no free slot in time.
        """
        has_turn = await self._wait(
            lambda: not self._waiting_exclusive and not self._waiting_ahead and self._free() > 0,
            timeout_seconds,
        )
        async with self._reserving(self._free() if has_turn else 0) as free:
            yield free

    @asynccontextmanager
    async def reserve_ahead(self, max_slots: int, *, timeout_seconds: float) -> AsyncIterator[int]:
        """Wait for free slots before any read does; reserve up to `max_slots`, yield how many.

        Each read reserves all free slots, and one read follows the other: without precedence, a
        redelivery would never get one. Yields 0 after `close`, or if there is none in time.
        """
        self._waiting_ahead += 1
        try:
            has_turn = await self._wait(lambda: self._free() > 0, timeout_seconds)
        finally:
            self._waiting_ahead -= 1
        async with self._reserving(min(max_slots, self._free()) if has_turn else 0) as free:
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
        """Reserve nothing more."""
        self._closed = True
        await self._change()

    def add(self, entry: Entry) -> None:
        """Add an entry; its lease is renewed from now on."""
        self._entries[entry.key] = entry

    async def remove(self, key: EntryKey) -> None:
        """Remove an entry: it is settled, or it will be redelivered."""
        self._entries.pop(key, None)
        await self._change()

    @asynccontextmanager
    async def exclusive(self, *, timeout_seconds: float) -> AsyncIterator[bool]:
        """Wait until nothing is in flight and no read is under way, and keep it so.

        Yields False after `close`, or if entries are still in flight after the timeout: an entry
        that waits for a server must not stop this process from reading for ever.
        """
        self._waiting_exclusive += 1
        try:
            yield await self._wait(self._is_free, timeout_seconds)
        finally:
            self._waiting_exclusive -= 1
            await self._change()

    def _is_free(self) -> bool:
        return not self._entries and not self._reserved

    async def _wait(self, condition: Callable[[], bool], timeout_seconds: float) -> bool:
        """Return whether the condition came true in time, before `close`."""
        try:
            async with asyncio.timeout(timeout_seconds), self._changed:
                await self._changed.wait_for(lambda: self._closed or condition())
        except TimeoutError:
            pass
        return not self._closed and condition()

    async def _change(self) -> None:
        async with self._changed:
            self._changed.notify_all()
