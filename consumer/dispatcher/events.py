"""The dispatcher's side of the event stream: each event becomes its deliveries, once."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from consumer.dispatcher.deliveries import DeliveryStore
from consumer.dispatcher.webhook import DeliveryKind
from consumer.health import Health
from consumer.metrics import DispatcherMetrics
from schemas import tracing
from schemas.contract.events import RESULT_UPDATED, Event, parse_event
from schemas.logs import described
from schemas.redis.keys import DISPATCHER_GROUP, consumer_name
from schemas.redis.scripts import ensure_group
from schemas.retry import concerns_one, is_missing_group
from schemas.storage.layout import input_prefix
from schemas.storage.storage import Storage, StorageError

log = structlog.get_logger()

READ_BLOCK_SECONDS = 1.0
"""How long a read waits on an empty stream; a stop waits for it at most this long."""

PAGE = 16
"""Events read at once; they are handled side by side."""

EVENTS_OF = {
    DeliveryKind.UPLOAD: ("task.completed", RESULT_UPDATED),
    DeliveryKind.CALLBACK: ("task.completed", "task.failed", RESULT_UPDATED),
}

NEW, LEFT_OVER = ">", "0"

Fields = Mapping[bytes, bytes]
Rows = list[tuple[bytes, Fields]]


@dataclass(eq=False, repr=False)
class EventHandler:
    """Turns an event into deliveries of the `kinds` that have an address.

    `on_created` is called when there are new deliveries.
    """

    store: DeliveryStore
    storage: Storage
    metrics: DispatcherMetrics
    kinds: Sequence[DeliveryKind]
    on_created: Callable[[], None]

    async def handle(self, entry: str, fields: Fields) -> None:
        """Delete the task's originals, create its deliveries, ack. Safe to repeat.

        An event that cannot be handled, for example because its task was overwritten, is
        redelivered after its lease: it must not block the others.
        """
        try:
            await self._handle(entry, fields)
        except Exception as error:
            if not concerns_one(error):
                raise
            self.metrics.events.labels("failed").inc()
            log.warning(
                "event not handled, will be redelivered", entry=entry, error=described(error)
            )

    async def _handle(self, entry: str, fields: Fields) -> None:
        event = _parse(fields)
        if event is None:
            # Trimmed meanwhile, or published by a service that breaks the contract.
            self.metrics.events.labels("unusable").inc()
            log.warning("event unusable", entry=entry, trimmed=not fields)
            task_id = fields.get(b"task_id", b"").decode(errors="replace")
            await self.store.acknowledge(entry, task_id)
            return
        try:
            if await self.store.has_ended(event.task_id):
                await self.storage.delete_prefix(input_prefix(event.task_id))
        except StorageError as error:
            # Not acked: originals are deleted before the task is reported.
            log.warning(
                "originals not deleted, event will be redelivered",
                task_id=event.task_id, error=described(error),
            )  # fmt: skip
            return
        tracing.annotate({tracing.TASK_ID: event.task_id, "plate.event": event.type})
        kinds = [kind for kind in self.kinds if event.type in EVENTS_OF[kind]]
        created = await self.store.deliver(entry, event, kinds)
        self.metrics.events.labels(event.type).inc()
        if created > 0:
            self.on_created()
        if created < 0:
            log.warning("event too old, nothing sent", task_id=event.task_id)


@dataclass(eq=False, repr=False)
class EventReader:
    """One consumer of the dispatcher's group: reads new events, and takes over abandoned ones.

    Args:
        redis: for commands; may repeat a lost one.
        blocking: a connection of its own for the blocking read; must not repeat.
        stream: key of the event stream.
        handle: called with each event's id and fields.
        lease_seconds: idle time after which an event of another consumer is taken over.
    """

    redis: Redis
    blocking: Redis
    stream: str
    handle: Callable[[str, Fields], Awaitable[None]]
    health: Health
    lease_seconds: float

    def __post_init__(self) -> None:
        self._consumer = consumer_name()
        self._position = NEW
        self._cursor = "0-0"

    async def read(self) -> float:
        """Handle the next events: first those that an interrupted read left, then new ones.

        Waits for the first new one. Returns 0: the next read is due at once.
        """
        self.health.beat("events")
        position, self._position = self._position, LEFT_OVER
        try:
            reply: Any = await self.blocking.xreadgroup(
                DISPATCHER_GROUP, self._consumer, {self.stream: position},
                count=PAGE, block=int(READ_BLOCK_SECONDS * 1000),
            )  # fmt: skip
        except ResponseError as error:
            await self._create_group(error)
            return 0
        rows: Rows = list(reply[0][1]) if reply else []
        await self._handle_all(rows)
        more_left_over = position != NEW and rows
        self._position = rows[-1][0].decode() if more_left_over else NEW
        return 0

    async def reclaim(self) -> float:
        """Handle a page of events whose lease has run out; return when the next page is due.

        The cursor is kept: from the start each time, events that cannot be handled would hide those
        after them.
        """
        rest_seconds = self.lease_seconds / 3
        self.health.beat("reclaim", rest_seconds)
        try:
            reply: Any = await self.redis.xautoclaim(
                self.stream, DISPATCHER_GROUP, self._consumer,
                int(self.lease_seconds * 1000), self._cursor, count=PAGE,
            )  # fmt: skip
        except ResponseError as error:
            await self._create_group(error)
            return 0
        self._cursor = reply[0].decode()
        await self._handle_all(reply[1])
        return rest_seconds if self._cursor == "0-0" else 0

    async def _create_group(self, error: ResponseError) -> None:
        """Create the group if its absence is the error."""
        if not is_missing_group(error):
            raise error
        await ensure_group(self.redis, self.stream, DISPATCHER_GROUP)

    async def _handle_all(self, rows: Rows) -> None:
        results = await asyncio.gather(
            *(self._handle_one(entry.decode(), fields) for entry, fields in rows if entry),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _handle_one(self, entry: str, fields: Fields) -> None:
        parent = fields.get(b"traceparent", b"").decode(errors="replace") if fields else ""
        attributes: tracing.Attributes = {
            "messaging.consumer.group.name": DISPATCHER_GROUP,
            "messaging.message.id": entry,
        }
        with tracing.message_span("process", self.stream, parent=parent, attributes=attributes):
            await self.handle(entry, fields)


def _parse(fields: Fields) -> Event | None:
    try:
        event = parse_event(fields)
        return event if event.state.task_id == event.task_id else None
    except (ValidationError, UnicodeDecodeError):
        return None
