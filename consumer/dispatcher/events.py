"""The dispatcher's side of the event stream: each event becomes its deliveries, once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumer.dispatcher.deliveries import DeliveryStore
from consumer.dispatcher.webhook import DeliveryKind
from consumer.metrics import DispatcherMetrics
from schemas.contract.events import CompletionEvent
from schemas.logs import described
from schemas.redis.keys import DISPATCHER_GROUP
from schemas.redis.scripts import ensure_group
from schemas.retry import concerns_one
from schemas.storage.layout import input_prefix
from schemas.storage.storage import Storage, StorageError

log = structlog.get_logger()

READ_BLOCK_SECONDS = 1.0
"""How long a read waits on an empty stream; a stop waits for it at most this long."""

PAGE = 16
"""Events taken at once; they are handled side by side."""

EVENTS_OF = {
    DeliveryKind.UPLOAD: ("task.completed",),
    DeliveryKind.CALLBACK: ("task.completed", "task.failed"),
}

NEW, LEFT_OVER = ">", "0"

Fields = Mapping[bytes, bytes]
Rows = list[tuple[bytes, Fields]]


class EventStream:
    """Membership of one consumer in the dispatcher's group.

    Args:
        redis: for commands; may repeat a lost one.
        blocking: a connection of its own for the blocking read; must not repeat.
        stream: key of the event stream.
        consumer: this member's name, new at each start.
        lease_ms: silence after which an event of another member is taken over.
    """

    def __init__(
        self, redis: Redis, blocking: Redis, *, stream: str, consumer: str, lease_ms: int
    ) -> None:
        self._redis = redis
        self._blocking = blocking
        self._stream = stream
        self._consumer = consumer
        self._lease_ms = lease_ms
        self._cursor = "0-0"

    async def ensure_group(self) -> None:
        """Create stream and group if missing."""
        await ensure_group(self._redis, self._stream, DISPATCHER_GROUP)

    async def read(self, position: str) -> Rows:
        """New events (`>`; waits for the first), or this member's unacked ones after an id."""
        answer: Any = await self._blocking.xreadgroup(
            DISPATCHER_GROUP, self._consumer, {self._stream: position},
            count=PAGE, block=int(READ_BLOCK_SECONDS * 1000),
        )  # fmt: skip
        return list(answer[0][1]) if answer else []

    async def reclaim(self) -> tuple[Rows, bool]:
        """A page of events whose lease has run out, now this member's, and if it was the last.

        The cursor is kept: starting anew each time would never get past what cannot be handled.
        """
        answer: Any = await self._redis.xautoclaim(
            self._stream, DISPATCHER_GROUP, self._consumer,
            self._lease_ms, self._cursor, count=PAGE,
        )  # fmt: skip
        self._cursor = answer[0].decode()
        return answer[1], self._cursor == "0-0"


class EventHandler:
    """Turns an event into deliveries of the `kinds` that have an address.

    `on_created` is called when there are new deliveries.
    """

    def __init__(
        self,
        store: DeliveryStore,
        storage: Storage,
        metrics: DispatcherMetrics,
        *,
        kinds: Iterable[DeliveryKind],
        on_created: Callable[[], None],
    ) -> None:
        self._store = store
        self._storage = storage
        self._metrics = metrics
        self._kinds = tuple(kinds)
        self._on_created = on_created

    async def handle(self, entry: str, fields: Fields) -> None:
        """Delete the task's originals, create its deliveries, ack. Safe to repeat.

        An event that cannot be handled, because somebody has overwritten its task, say, is left to
        its lease: it must not keep the others from their turn.
        """
        try:
            await self._handle(entry, fields)
        except Exception as error:
            if not concerns_one(error):
                raise
            self._metrics.events.labels("failed").inc()
            log.warning("event left to its lease", entry=entry, error=described(error))

    async def _handle(self, entry: str, fields: Fields) -> None:
        event = _parse(fields)
        if event is None:
            # Trimmed meanwhile, or published by somebody who does not know the contract.
            self._metrics.events.labels("unusable").inc()
            log.warning("event unusable", entry=entry, trimmed=not fields)
            task_id = fields.get(b"task_id", b"").decode(errors="replace")
            await self._store.acknowledge(entry, task_id)
            return
        try:
            if await self._store.has_ended(event.task_id):
                await self._storage.delete_prefix(input_prefix(event.task_id))
        except StorageError as error:
            # Not acked: originals must go before anybody is told. Reclaimed after the lease.
            log.warning("originals not deleted", task_id=event.task_id, error=str(error))
            return
        kinds = [kind for kind in self._kinds if event.type in EVENTS_OF[kind]]
        created = await self._store.deliver(entry, event, kinds)
        self._metrics.events.labels(event.type).inc()
        if created > 0:
            self._on_created()
        if created < 0:
            log.warning("event too old, nothing sent", task_id=event.task_id)


class EventReader:
    """The two loops' steps: read what is new, take over what was abandoned.

    `beat` is told which loop turns, and how many seconds it may wait before its next turn.
    """

    def __init__(
        self,
        stream: EventStream,
        handle: Callable[[str, Fields], Awaitable[None]],
        beat: Callable[[str, float], None],
        *,
        reclaim_seconds: float,
    ) -> None:
        self._stream = stream
        self._handle = handle
        self._beat = beat
        self._reclaim_seconds = reclaim_seconds
        self._position = NEW

    async def read(self) -> float:
        """Handle the next events: first those that an interrupted read left, then new ones."""
        self._beat("events", 0)
        position, self._position = self._position, LEFT_OVER
        try:
            rows = await self._stream.read(position)
        except ResponseError as error:
            await self._recover(error)
            return 0
        await self._handle_all(rows)
        more_left_over = position != NEW and rows
        self._position = rows[-1][0].decode() if more_left_over else NEW
        return 0

    async def reclaim(self) -> float:
        """Handle a page of events whose reader is gone or could not finish them."""
        self._beat("reclaim", self._reclaim_seconds)
        try:
            rows, was_last = await self._stream.reclaim()
        except ResponseError as error:
            await self._recover(error)
            return 0
        await self._handle_all(rows)
        return self._reclaim_seconds if was_last else 0

    async def _recover(self, error: ResponseError) -> None:
        if "NOGROUP" not in str(error):
            raise error
        await self._stream.ensure_group()

    async def _handle_all(self, rows: Rows) -> None:
        answers = await asyncio.gather(
            *(self._handle(entry.decode(), fields) for entry, fields in rows if entry),
            return_exceptions=True,
        )
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer


def _parse(fields: Fields) -> CompletionEvent | None:
    try:
        event = CompletionEvent.from_fields(fields)
        return event if event.state.task_id == event.task_id else None
    except (ValidationError, UnicodeDecodeError):
        return None
