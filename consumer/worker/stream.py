"""The worker's side of the work stream: read new entries, find and claim abandoned ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.scripts import ensure_group

READ_BLOCK_SECONDS = 1.0
"""How long a read waits on an empty stream; a stop and a reclaim wait for it at most this long."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One delivery of one stream entry. `deliveries` counts this one, so it starts at 1."""

    id: str
    fields: Mapping[bytes, bytes]
    deliveries: int

    @property
    def added_at(self) -> float:
        """When the entry was added, epoch seconds by the server's clock."""
        return int(self.id.split("-", 1)[0]) / 1000


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A pending entry whose lease has run out, and how often it has been delivered so far."""

    id: str
    deliveries: int


class WorkStream:
    """Membership of one consumer in the workers' group.

    Args:
        redis: for commands; may repeat a lost one.
        reader: a connection of its own for the blocking read; must not repeat.
        stream: key of the work stream.
        consumer: this member's name, new at each start.
        lease_ms: silence after which an entry counts as abandoned.
    """

    def __init__(
        self, redis: Redis, reader: Redis, *, stream: str, consumer: str, lease_ms: int
    ) -> None:
        self._redis = redis
        self._reader = reader
        self._stream = stream
        self._lease_ms = lease_ms
        self._cursor = "-"
        self.consumer = consumer

    async def ensure_group(self) -> None:
        """Create stream and group if missing."""
        await ensure_group(self._redis, self._stream, WORKERS_GROUP)

    async def read(self, count: int) -> list[Entry]:
        """Take up to `count` new entries; waits READ_BLOCK_SECONDS for the first."""
        answer: Any = await self._reader.xreadgroup(
            WORKERS_GROUP,
            self.consumer,
            {self._stream: ">"},
            count=count,
            block=int(READ_BLOCK_SECONDS * 1000),
        )
        rows = answer[0][1] if answer else []
        return [Entry(entry_id.decode(), fields, 1) for entry_id, fields in rows]

    async def abandoned(self, limit: int) -> list[Abandoned]:
        """The next pending entries without a living owner.

        The cursor is kept between calls: starting anew each time would never get past entries
        that cannot be claimed yet.
        """
        rows: Any = await self._redis.xpending_range(
            self._stream,
            WORKERS_GROUP,
            min=self._cursor,
            max="+",
            count=limit,
            idle=self._lease_ms,
        )
        found = [Abandoned(row["message_id"].decode(), row["times_delivered"]) for row in rows]
        self._cursor = f"({found[-1].id}" if len(found) == limit else "-"
        return found

    async def claim(self, candidates: Sequence[Abandoned]) -> list[Entry]:
        """Take over abandoned entries, without those that somebody has taken or deleted."""
        deliveries = {candidate.id: candidate.deliveries + 1 for candidate in candidates}
        rows: Any = await self._redis.xclaim(
            self._stream, WORKERS_GROUP, self.consumer, self._lease_ms, list(deliveries)
        )
        taken = [(entry_id.decode(), fields) for entry_id, fields in rows if entry_id]
        return [
            Entry(entry_id, fields, deliveries[entry_id])
            for entry_id, fields in taken
            if fields is not None
        ]

    async def hold(self, candidate: Abandoned) -> bool:
        """Begin another lease without a delivery; False if somebody was faster or it is gone."""
        rows: Any = await self._redis.xclaim(
            self._stream, WORKERS_GROUP, self.consumer, self._lease_ms, [candidate.id], justid=True
        )
        return bool(rows)

    async def acknowledge(self, entry_id: str) -> None:
        """Give up an entry that somebody deleted from the stream: nothing is left to do for it."""
        await self._redis.xack(self._stream, WORKERS_GROUP, entry_id)

    async def fields(self, entry_id: str) -> Mapping[bytes, bytes] | None:
        """An entry's fields without taking it over; None if it was deleted."""
        rows: Any = await self._redis.xrange(self._stream, entry_id, entry_id)
        return rows[0][1] if rows else None
