"""Webhook deliveries for the operator, who lists, replays and purges dead and waiting ones."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from consumer.dispatcher.deliveries import DeliveryState, milliseconds
from consumer.dispatcher.webhook import DeliveryKind
from schemas.contract.tasks import TaskState
from schemas.redis.keys import Keys
from schemas.redis.scripts import Scripts
from schemas.storage.layout import output_key
from schemas.storage.storage import Storage

_REQUIRED = {b"state", b"type", b"task_id", b"created_at"}


class DeliveryError(Exception):
    """A delivery cannot be replayed or purged; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class DeliveryRecord:
    """One delivery. `fields` are those of its hash, as text; `age_seconds` since its creation.

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


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Selects deliveries; what is None or empty excludes nothing."""

    states: tuple[DeliveryState, ...] = (DeliveryState.DUE, DeliveryState.DEAD)
    kind: DeliveryKind | None = None
    reason: str = ""
    task_id: str = ""
    older_than_seconds: float | None = None
    newer_than_seconds: float | None = None

    def admits(self, record: DeliveryRecord) -> bool:
        """Return whether a delivery is one of them."""
        older, newer = self.older_than_seconds, self.newer_than_seconds
        return (
            record.state in self.states
            and (not self.reason or record.reason == self.reason)
            and (not self.task_id or record.task_id == self.task_id)
            and (older is None or record.age_seconds >= older)
            and (newer is None or record.age_seconds <= newer)
        )


class DeliveryAdmin:
    """Reads and changes what the dispatchers work on."""

    def __init__(self, redis: Redis, keys: Keys, storage: Storage) -> None:
        self._redis = redis
        self._keys = keys
        self._storage = storage
        self._scripts = Scripts(redis, keys)

    async def select(self, wanted: DeliveryFilter) -> AsyncIterator[DeliveryRecord]:
        """Yield the deliveries that a filter admits: first those that wait, then the dead."""
        for delivery_id in await self._ids(wanted):
            record = await self.get(delivery_id)
            if record is not None and wanted.admits(record):
                yield record

    async def get(self, delivery_id: str) -> DeliveryRecord | None:
        """Return a delivery, or None if there is none, or its key holds something else."""
        kind = _kind_of(delivery_id)
        if kind is None:
            return None
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.hgetall(self._keys.delivery(delivery_id))
        pipeline.zscore(self._keys.due_deliveries(kind), delivery_id)
        now, row, due_ms = await pipeline.execute(raise_on_error=False)
        for reply in (now, row, due_ms):
            if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
                raise reply
        if not isinstance(row, dict) or not row.keys() >= _REQUIRED:
            return None
        due_ms = None if isinstance(due_ms, Exception) else due_ms
        now_ms = milliseconds(now)
        fields = {name.decode(): value.decode(errors="replace") for name, value in row.items()}
        return DeliveryRecord(
            delivery_id,
            kind,
            age_seconds=max(0, now_ms - int(fields["created_at"])) / 1000,
            due_seconds=None if due_ms is None else (due_ms - now_ms) / 1000,
            fields=fields,
        )

    async def replay(self, record: DeliveryRecord) -> None:
        """Make a delivery due now, with the same webhook-id and a full schedule of attempts.

        Raises:
            DeliveryError: it has ended, or what it would send is gone.
        """
        await self.check_replay(record)
        result = await self._scripts.replay_delivery(record.kind, record.id, record.task_id)
        _expect(result, DeliveryState.DUE)

    async def check_replay(self, record: DeliveryRecord) -> None:
        """Raise DeliveryError if the delivery cannot be replayed."""
        _check_open(record)
        if not await self._redis.exists(self._keys.task(record.task_id)):
            raise DeliveryError("its task is gone")
        if record.kind is DeliveryKind.UPLOAD and not await self._has_files(record):
            raise DeliveryError("its files are gone")

    def check_purge(self, record: DeliveryRecord) -> None:
        """Raise DeliveryError if the delivery cannot be purged."""
        _check_open(record)

    async def purge(self, record: DeliveryRecord) -> None:
        """Cancel a delivery for good; raise DeliveryError if it has ended."""
        result = await self._scripts.purge_delivery(record.kind, record.id)
        _expect(result, DeliveryState.CANCELLED)

    async def _has_files(self, record: DeliveryRecord) -> bool:
        state = TaskState.model_validate_json(record.fields.get("payload", ""))
        try:
            for result in state.results:
                await self._storage.size(output_key(record.task_id, result.filename))
        except FileNotFoundError:
            return False
        return True

    async def _ids(self, wanted: DeliveryFilter) -> list[str]:
        kinds = list(DeliveryKind) if wanted.kind is None else [wanted.kind]
        indexes: list[str] = []
        if DeliveryState.DUE in wanted.states:
            indexes += [self._keys.due_deliveries(kind) for kind in kinds]
        if DeliveryState.DEAD in wanted.states:
            indexes.append(self._keys.dead_deliveries)
        found: list[str] = []
        for index in indexes:
            rows: Any = await self._redis.zrange(index, 0, -1)
            found += [row.decode(errors="replace") for row in rows]
        return [delivery_id for delivery_id in found if _kind_of(delivery_id) in kinds]


def _kind_of(delivery_id: str) -> DeliveryKind | None:
    _, _, kind = delivery_id.rpartition("_")
    return DeliveryKind(kind) if kind in list(DeliveryKind) else None


def _check_open(record: DeliveryRecord) -> None:
    if record.state not in (DeliveryState.DUE, DeliveryState.DEAD):
        raise DeliveryError(f"it is {record.state}")


def _expect(result: str, state: DeliveryState) -> None:
    if result != state:
        reasons = {"gone": "its task is gone", "missing": "it has expired"}
        raise DeliveryError(reasons.get(result, f"it is {result}"))
