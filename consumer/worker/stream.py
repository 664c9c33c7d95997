"""The worker's side of the work stream: read new entries, find and claim abandoned ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.asyncio import Redis

from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.scripts import ensure_group

READ_BLOCK_SECONDS = 1.0
"""Maximum wait of a read on an empty stream; a stop and a reclaim wait for it."""


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


@dataclass(eq=False, repr=False)
class WorkStream:
    """Membership of one consumer in the workers' group.

    Args:
        redis: for commands; may repeat a lost one.
        reader: a connection only for the blocking read; must not repeat.
        stream: key of the work stream.
        consumer: this member's name, new at each start.
        lease_ms: idle time after which an entry counts as abandoned.
    """

    redis: Redis
    reader: Redis
    stream: str
    consumer: str
    lease_ms: int
    _cursor: str = field(default="-", init=False)

    async def ensure_group(self) -> None:
        """Create stream and group if missing."""
        await ensure_group(self.redis, self.stream, WORKERS_GROUP)

    async def read(self, count: int) -> list[Entry]:
        """Take up to `count` new entries; wait READ_BLOCK_SECONDS for the first."""
        streams: Any = await self.reader.xreadgroup(
            WORKERS_GROUP,
            self.consumer,
            {self.stream: ">"},
            count=count,
            block=int(READ_BLOCK_SECONDS * 1000),
        )
        rows = streams[0][1] if streams else []
        return [Entry(entry_id.decode(), fields, 1) for entry_id, fields in rows]

    async def abandoned(self, limit: int) -> list[Abandoned]:
        """Return the next pending entries whose lease has run out.

        The cursor is kept between calls: a new start each time would never get past entries that
        cannot be claimed yet.
        """
        rows: Any = await self.redis.xpending_range(
            self.stream,
            WORKERS_GROUP,
            min=self._cursor,
            max="+",
            count=limit,
            idle=self.lease_ms,
        )
        found = [Abandoned(row["message_id"].decode(), row["times_delivered"]) for row in rows]
        self._cursor = f"({found[-1].id}" if len(found) == limit else "-"
        return found

    async def claim(self, candidates: Sequence[Abandoned]) -> list[Entry]:
        """Take over abandoned entries; return those that are not taken or deleted meanwhile."""
        deliveries = {candidate.id: candidate.deliveries + 1 for candidate in candidates}
        rows: Any = await self.redis.xclaim(
            self.stream, WORKERS_GROUP, self.consumer, self.lease_ms, list(deliveries)
        )
        taken = [(entry_id.decode(), fields) for entry_id, fields in rows if entry_id]
        return [
            Entry(entry_id, fields, deliveries[entry_id])
            for entry_id, fields in taken
            if fields is not None
        ]

    async def take_lease(self, candidate: Abandoned) -> bool:
        """Begin another lease without a delivery; False if another worker did, or it is gone."""
        rows: Any = await self.redis.xclaim(
            self.stream, WORKERS_GROUP, self.consumer, self.lease_ms, [candidate.id], justid=True
        )
        return bool(rows)

    async def acknowledge(self, entry_id: str) -> None:
        """Acknowledge an entry that was deleted from the stream."""
        await self.redis.xack(self.stream, WORKERS_GROUP, entry_id)

    async def fields(self, entry_id: str) -> Mapping[bytes, bytes] | None:
        """Return an entry's fields without taking it over; None if it was deleted."""
        rows: Any = await self.redis.xrange(self.stream, entry_id, entry_id)
        return rows[0][1] if rows else None
