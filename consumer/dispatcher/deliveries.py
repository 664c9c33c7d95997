"""Deliveries in Redis: created once per event and kind, claimed when due, settled by their owner.

A delivery is a hash, and its due time an entry of its kind's sorted set. A claim moves the due
time past the longest possible attempt, so backoff and crash recovery are the same thing.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from consumer.dispatcher.webhook import Delivery, DeliveryKind, DeliveryState
from schemas import tracing
from schemas.contract.events import Event
from schemas.contract.tasks import TaskStatus
from schemas.redis.keys import Keys
from schemas.redis.scripts import Scripts

DEDUPE_MARGIN_MS = 3_600_000
"""How much longer than its event a delivery is kept: trimming the stream may be late."""


@dataclass(frozen=True, slots=True)
class DueDeliveries:
    """Deliveries of one kind that are due, the seconds until the next, and how many wait in all.

    `next_seconds` is None if no other waits.
    """

    ids: list[str]
    next_seconds: float | None
    total: int


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One delivery, for the operator: the fields of its hash as text, and its age.

    `due_seconds` is the time until its next attempt, None unless it waits.
    """

    id: str
    kind: DeliveryKind
    age_seconds: float
    due_seconds: float | None
    fields: dict[str, str]

    @property
    def state(self) -> str:
        """One of DeliveryState."""
        return self.fields["state"]

    @property
    def reason(self) -> str:
        """How its last attempt ended; empty before the first."""
        return self.fields.get("status", "")

    @property
    def task_id(self) -> str:
        """The task that it reports."""
        return self.fields["task_id"]


class DeliveryStore:
    """The deliveries of the dispatcher's webhooks. Every method is safe to repeat."""

    def __init__(self, redis: Redis, keys: Keys, *, task_ttl_ms: int) -> None:
        self._redis = redis
        self._keys = keys
        self._ttl = task_ttl_ms
        self._scripts = Scripts(redis, keys)

    async def deliver(self, entry: str, event: Event, kinds: Iterable[DeliveryKind]) -> int:
        """Create missing deliveries and ack the event; return their number, -1 if it is too old."""
        return await self._scripts.deliver(
            entry,
            event.task_id,
            max_age_ms=self._ttl,
            ttl_ms=self._ttl + DEDUPE_MARGIN_MS,
            event=event,
            delivery_ids={kind: f"{event.event_id}_{kind}" for kind in kinds},
            traceparent=tracing.current(),
        )

    async def acknowledge(self, entry: str, task_id: str) -> None:
        """Ack an event from which no delivery can be made; `task_id` is as it says."""
        await self._scripts.deliver(
            entry, task_id, max_age_ms=self._ttl, ttl_ms=self._ttl + DEDUPE_MARGIN_MS
        )

    async def due(self, kind: DeliveryKind, limit: int) -> DueDeliveries:
        """Return the first `limit` deliveries that are due, by the server's clock."""
        key = self._keys.due_deliveries(kind)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.zrange(key, 0, limit, withscores=True)
        pipeline.zcard(key)
        now, rows, total = await pipeline.execute()
        now_ms = milliseconds(now)
        due = await valid_members(self._redis, key, [row for row, at in rows if at <= now_ms])
        later = [(at - now_ms) / 1000 for _, at in rows if at > now_ms]
        next_seconds = 0.0 if len(due) > limit else min(later, default=None)
        return DueDeliveries(due[:limit], next_seconds, total)

    async def postpone(self, kind: DeliveryKind, delivery_id: str, *, seconds: float) -> None:
        """Make a delivery due later, if it is due at all."""
        due_ms = milliseconds(await self._redis.time()) + int(seconds * 1000)
        await self._redis.zadd(self._keys.due_deliveries(kind), {delivery_id: due_ms}, xx=True)

    async def claim(
        self, kind: DeliveryKind, delivery_id: str, *, lease_seconds: float
    ) -> Delivery | None:
        """Claim a due delivery; return None if another dispatcher has claimed it, or it has ended.

        Raises:
            ValueError: a field of its hash is missing.
            ResponseError: its key holds something else.
        """
        token = secrets.token_hex(8)
        found = await self._scripts.claim_delivery(
            kind, delivery_id, token=token, lease_ms=int(lease_seconds * 1000)
        )
        if found is None:
            return None
        return Delivery(
            delivery_id, kind, found.event_type, found.task_id, found.payload,
            token, found.attempts, found.age_ms / 1000, found.traceparent,
        )  # fmt: skip

    async def settle(
        self, delivery: Delivery, state: DeliveryState, *, reason: str, delay_seconds: float = 0
    ) -> bool:
        """Record how an attempt ended; return False if another dispatcher has claimed it since."""
        return await self._scripts.settle_delivery(
            delivery.kind, delivery.id, token=delivery.token, state=state, status=reason,
            delay_ms=int(delay_seconds * 1000),
        )  # fmt: skip

    async def is_withdrawn(self, delivery: Delivery) -> bool:
        """Return whether a task with results was deleted: they must not be sent."""
        deleted = await self._redis.hexists(self._keys.task(delivery.task_id), "deleted")
        return bool(deleted) and delivery.event_type != "task.failed"

    async def has_ended(self, task_id: str) -> bool:
        """Return whether a task exists and has ended, so that its originals may be deleted."""
        status: Any = await self._redis.hget(self._keys.task(task_id), "status")
        return status is not None and TaskStatus(status.decode()).is_final


def milliseconds(time: tuple[int, int]) -> int:
    """Return the reply to TIME in milliseconds since the epoch."""
    seconds, microseconds = time
    return seconds * 1000 + microseconds // 1000


async def valid_members(redis: Redis, key: str, members: list[bytes]) -> list[str]:
    """Return members of a sorted set as text; remove what is none, since nothing else would."""
    names = []
    for member in members:
        try:
            names.append(member.decode())
        except UnicodeDecodeError:
            await redis.zrem(key, member)
    return names
