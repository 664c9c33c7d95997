"""Deliveries in Redis: created once per event and kind, claimed when due, settled by their owner.

A delivery is a hash, and its due time an entry of its kind's sorted set. A claim moves the due
time past the longest possible try, so backoff and crash recovery are the same thing.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis.asyncio import Redis

from consumer.dispatcher.webhook import Delivery, DeliveryKind
from schemas.contract.events import CompletionEvent
from schemas.contract.tasks import TaskStatus
from schemas.redis.keys import Keys
from schemas.redis.scripts import Scripts

DEDUPE_MARGIN_MS = 3_600_000
"""How much longer than its event a delivery is remembered: trimming the stream may be late."""


class DeliveryState(StrEnum):
    """`due` (waiting or under way), then one of the others for good; `dead` can be replayed."""

    DUE = "due"
    DELIVERED = "delivered"
    DEAD = "dead"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Claim:
    """One try of a delivery that nobody else makes before the lease ends.

    `attempts` counts this one. `age_seconds` is the time since the delivery was created.
    """

    delivery: Delivery
    token: str
    attempts: int
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Due:
    """What is due of one kind, how long until the next (None: nothing waits), how many in all."""

    ids: list[str]
    next_seconds: float | None
    total: int


class DeliveryStore:
    """Every method is safe to repeat; none but the rare ones takes more than one round trip."""

    def __init__(self, redis: Redis, keys: Keys, *, task_ttl_ms: int) -> None:
        self._redis = redis
        self._keys = keys
        self._ttl = task_ttl_ms
        self._scripts = Scripts(redis, keys)

    async def deliver(
        self, entry: str, event: CompletionEvent, kinds: Iterable[DeliveryKind]
    ) -> int:
        """Create what was never created, and ack the event; -1 if the event is too old."""
        return await self._scripts.deliver(
            entry,
            event.task_id,
            max_age_ms=self._ttl,
            ttl_ms=self._ttl + DEDUPE_MARGIN_MS,
            event=event,
            delivery_ids={kind: f"{event.event_id}_{kind}" for kind in kinds},
        )

    async def acknowledge(self, entry: str, task_id: str) -> None:
        """Give up an event from which no delivery can be made; `task_id` as it says."""
        await self._scripts.deliver(
            entry, task_id, max_age_ms=self._ttl, ttl_ms=self._ttl + DEDUPE_MARGIN_MS
        )

    async def due(self, kind: DeliveryKind, limit: int) -> Due:
        """The first `limit` deliveries that are due, by the server's clock."""
        key = self._keys.due_deliveries(kind)
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.zrange(key, 0, limit, withscores=True)
        pipeline.zcard(key)
        (seconds, microseconds), rows, total = await pipeline.execute()
        now_ms = seconds * 1000 + microseconds // 1000
        due = await self._decoded(key, [member for member, score in rows if score <= now_ms])
        later = [(score - now_ms) / 1000 for _, score in rows if score > now_ms]
        next_seconds = 0.0 if len(due) > limit else min(later, default=None)
        return Due(due[:limit], next_seconds, total)

    async def _decoded(self, key: str, members: list[bytes]) -> list[str]:
        names = []
        for member in members:
            try:
                names.append(member.decode())
            except UnicodeDecodeError:
                # No delivery can be called so, and nothing else would ever remove it.
                await self._redis.zrem(key, member)
        return names

    async def put_off(self, kind: DeliveryKind, delivery_id: str, *, seconds: float) -> None:
        """Make a delivery due later, if it is due at all."""
        now_seconds, _ = await self._redis.time()
        due_ms = int((now_seconds + seconds) * 1000)
        await self._redis.zadd(self._keys.due_deliveries(kind), {delivery_id: due_ms}, xx=True)

    async def claim(
        self, kind: DeliveryKind, delivery_id: str, *, lease_seconds: float
    ) -> Claim | None:
        """Take a due delivery; None if somebody else was faster or it is over.

        Raises ValueError or redis' ResponseError if its hash is not what `deliver` writes.
        """
        token = secrets.token_hex(8)
        found = await self._scripts.claim_delivery(
            kind, delivery_id, token=token, lease_ms=int(lease_seconds * 1000)
        )
        if found is None:
            return None
        delivery = Delivery(delivery_id, kind, found.event_type, found.task_id, found.payload)
        return Claim(delivery, token, found.attempts, found.age_ms / 1000)

    async def settle(
        self, claim: Claim, state: DeliveryState, *, reason: str, delay_seconds: float = 0
    ) -> bool:
        """Record how a try ended; False if the lease had ended and the claim is another's."""
        delivery = claim.delivery
        return await self._scripts.settle_delivery(
            delivery.kind, delivery.id, token=claim.token, state=state, status=reason,
            delay_ms=int(delay_seconds * 1000),
        )  # fmt: skip

    async def is_withdrawn(self, delivery: Delivery) -> bool:
        """Whether the task was deleted after it had completed: its results must not go out."""
        deleted = await self._redis.hexists(self._keys.task(delivery.task_id), "deleted")
        return bool(deleted) and delivery.event_type == "task.completed"

    async def has_ended(self, task_id: str) -> bool:
        """Whether there is such a task and it is final, so that its originals may go."""
        status: Any = await self._redis.hget(self._keys.task(task_id), "status")
        return status is not None and TaskStatus(status.decode()).is_final

    async def forget_unowned(self, before_ms: int) -> int:
        """Drop what has long expired: due times of an address no longer set, dead deliveries."""
        keys = [self._keys.due_deliveries(kind) for kind in DeliveryKind]
        keys.append(self._keys.dead_deliveries)
        return sum([await self._redis.zremrangebyscore(key, "-inf", before_ms) for key in keys])
