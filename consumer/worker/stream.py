"""The worker's side of its streams: read new entries, find and claim abandoned ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from redis.asyncio import Redis

from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.scripts import ensure_group

READ_BLOCK_SECONDS = 1.0
"""Maximum wait of a read on an empty stream; a stop and a reclaim wait for it."""


class EntryKey(NamedTuple):
    """Identifies an entry: its stream, and its id there."""

    stream: str
    id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One delivery of one stream entry. `deliveries` counts this one, so it starts at 1."""

    stream: str
    id: str
    fields: Mapping[bytes, bytes]
    deliveries: int

    @property
    def key(self) -> EntryKey:
        """Identifies the entry among those of all streams."""
        return EntryKey(self.stream, self.id)

    @property
    def traceparent(self) -> str:
        """Trace context as the publisher sent it; empty if there is none."""
        return self.fields.get(b"traceparent", b"").decode(errors="replace")

    @property
    def added_at(self) -> float:
        """When the entry was added, epoch seconds by the server's clock."""
        return int(self.id.split("-", 1)[0]) / 1000


@dataclass(frozen=True, slots=True)
class Abandoned:
    """A pending entry whose lease has run out, and how often it has been delivered so far."""

    stream: str
    id: str
    deliveries: int

    @property
    def key(self) -> EntryKey:
        """Identifies the entry among those of all streams."""
        return EntryKey(self.stream, self.id)


@dataclass(eq=False, repr=False)
class WorkStreams:
    """Membership of one consumer in the workers' group of each stream.

    Args:
        redis: for commands; may repeat a lost one.
        reader: a connection only for the blocking read; must not repeat.
        streams: keys of the streams, those that must not wait first.
        consumer: this member's name, new at each start.
        lease_ms: idle time after which an entry counts as abandoned.
    """

    redis: Redis
    reader: Redis
    streams: Sequence[str]
    consumer: str
    lease_ms: int
    _cursors: dict[str, str] = field(default_factory=dict, init=False)

    async def ensure_groups(self) -> None:
        """Create streams and groups if missing."""
        for stream in self.streams:
            await ensure_group(self.redis, stream, WORKERS_GROUP)

    async def read(self, count: int) -> list[Entry]:
        """Take up to `count` new entries of each stream; wait READ_BLOCK_SECONDS for the first."""
        found: Any = await self.reader.xreadgroup(
            WORKERS_GROUP,
            self.consumer,
            dict.fromkeys(self.streams, ">"),
            count=count,
            block=int(READ_BLOCK_SECONDS * 1000),
        )
        return [
            Entry(stream.decode(), entry_id.decode(), fields, 1)
            for stream, rows in found or ()
            for entry_id, fields in rows
        ]

    async def abandoned(self, stream: str, limit: int) -> list[Abandoned]:
        """Return the next pending entries of a stream whose lease has run out.

        The cursor is kept between calls: a new start each time would never get past entries that
        cannot be claimed yet.
        """
        rows: Any = await self.redis.xpending_range(
            stream,
            WORKERS_GROUP,
            min=self._cursors.get(stream, "-"),
            max="+",
            count=limit,
            idle=self.lease_ms,
        )
        found = [
            Abandoned(stream, row["message_id"].decode(), row["times_delivered"]) for row in rows
        ]
        self._cursors[stream] = f"({found[-1].id}" if len(found) == limit else "-"
        return found

    async def claim(self, candidates: Sequence[Abandoned]) -> list[Entry]:
        """Take over abandoned entries; return those that are not taken or deleted meanwhile."""
        taken = []
        for stream in self.streams:
            deliveries = {one.id: one.deliveries + 1 for one in candidates if one.stream == stream}
            if deliveries:
                taken += await self._claim(stream, deliveries)
        return taken

    async def _claim(self, stream: str, deliveries: Mapping[str, int]) -> list[Entry]:
        rows: Any = await self.redis.xclaim(
            stream, WORKERS_GROUP, self.consumer, self.lease_ms, list(deliveries)
        )
        taken = [(entry_id.decode(), fields) for entry_id, fields in rows if entry_id]
        return [
            Entry(stream, entry_id, fields, deliveries[entry_id])
            for entry_id, fields in taken
            if fields is not None
        ]

    async def take_lease(self, candidate: Abandoned) -> bool:
        """Begin another lease without a delivery; False if another worker did, or it is gone."""
        rows: Any = await self.redis.xclaim(
            candidate.stream,
            WORKERS_GROUP,
            self.consumer,
            self.lease_ms,
            [candidate.id],
            justid=True,
        )
        return bool(rows)

    async def acknowledge(self, key: EntryKey) -> None:
        """Acknowledge an entry that was deleted from its stream."""
        await self.redis.xack(key.stream, WORKERS_GROUP, key.id)

    async def fields(self, key: EntryKey) -> Mapping[bytes, bytes] | None:
        """Return an entry's fields without taking it over; None if it was deleted."""
        rows: Any = await self.redis.xrange(key.stream, key.id, key.id)
        return rows[0][1] if rows else None
