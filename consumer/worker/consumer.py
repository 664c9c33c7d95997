"""The loops of a worker: read new entries, claim abandoned ones, renew leases, until a stop."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog
from redis.exceptions import ResponseError

from consumer.health import Health
from consumer.metrics import WorkerMetrics
from consumer.settings import WorkerSettings
from consumer.worker.in_flight import InFlight
from consumer.worker.poison import PoisonGuard
from consumer.worker.stream import Abandoned, Entry, EntryKey, WorkStreams
from schemas import tracing
from schemas.logs import described
from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.task_store import TaskStore, WorkItem
from schemas.retry import (
    TRANSIENT,
    Backoff,
    StoppedError,
    concerns_one,
    is_missing_group,
    run_periodically,
)

log = structlog.get_logger()

RECLAIM_PAGE = 16
RECLAIM_SECONDS = 1.0
"""Between two reads of abandoned entries; a dead worker's are claimed so long after their lease."""
MEASURE_SECONDS = 2.0
SLOT_TIMEOUT_SECONDS = 5.0
"""Maximum wait for a free slot in one step of a loop, so that the loop shows progress."""
GROUP_SECONDS = 0.1
"""Wait after the consumer group was created again."""


class EntryHandler(Protocol):
    """What happens to the entries of one stream."""

    def parse(self, fields: Mapping[bytes, bytes]) -> WorkItem:
        """Read an entry; raises ContractError."""

    async def process(self, entry: Entry) -> None:
        """Settle an entry; raises StoppedError if a server is unavailable until the stop."""

    async def end_poison(self, entry: Entry) -> None:
        """Give up a poison entry for good."""


@dataclass(kw_only=True, eq=False, repr=False)
class StreamConsumer:
    """One member of the workers' group, on all streams; each stream has a handler.

    Abandoned entries share the process at their first redelivery and have it exclusively at later
    ones; poison is dead-lettered. `stop` ends the loops; it is set if one of them fails, too.
    """

    settings: WorkerSettings
    streams: WorkStreams
    handlers: Mapping[str, EntryHandler]
    store: TaskStore
    in_flight: InFlight
    poison: PoisonGuard
    metrics: WorkerMetrics
    health: Health
    stop: asyncio.Event

    def __post_init__(self) -> None:
        self._lease_seconds = self.settings.lease_seconds
        self._was_unavailable = False
        self._group = asyncio.TaskGroup()
        self._work: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Work until the stop, then finish what is in flight within the drain."""
        drained = asyncio.Event()
        # After a failure sooner than usual: leases run out while the server is unavailable.
        backoff = Backoff(cap=min(1.0, self._lease_seconds / 6))
        async with self._group as group:
            group.create_task(run_periodically("renew", self._renew, drained, backoff=backoff))
            group.create_task(run_periodically("measure", self._measure, drained))
            for name, step in (("read", self._read), ("reclaim", self._reclaim)):
                loop = run_periodically(name, partial(self._in_group, step), self.stop)
                self._work.add(group.create_task(loop))
            try:
                await self.stop.wait()
                await self.in_flight.close()
                await self._drain()
            finally:
                # Also when a loop failed. Loops end by event: a cancellation that arrives inside a
                # Redis call may be swallowed there.
                self.stop.set()
                drained.set()

    async def _in_group(self, step: Callable[[], Awaitable[float]]) -> float:
        """Run a step of a loop; create the consumer group again if it is missing."""
        try:
            return await step()
        except ResponseError as error:
            if not is_missing_group(error):
                raise
            log.warning("consumer group is missing, creating it again")
            await self.streams.ensure_groups()
            return GROUP_SECONDS

    async def _read(self) -> float:
        self.health.beat("read")
        async with self.in_flight.reserve(timeout_seconds=SLOT_TIMEOUT_SECONDS) as free:
            for entry in await self.streams.read(free) if free else ():
                if entry.key not in self.in_flight:  # a group that was created again repeats them
                    self._start(entry)
        return 0.0

    async def _reclaim(self) -> float:
        # After an outage a step waits for workers to renew their leases.
        self.health.beat("reclaim", rest_seconds=self._lease_seconds)
        try:
            pages = [
                await self.streams.abandoned(stream, RECLAIM_PAGE)
                for stream in self.streams.streams
            ]
            if self._was_unavailable:
                # No worker could renew its leases. Those that live do so first, about a second
                # after the server's return; without this wait, an outage would end their leases.
                self._was_unavailable = False
                return self._lease_seconds / 2
            is_done = await self._claim([one for page in pages for one in page])
        except TRANSIENT:
            self._was_unavailable = True
            raise
        if not is_done:
            return self._lease_seconds  # in which new entries are read
        more = any(len(page) == RECLAIM_PAGE for page in pages)
        return 0.0 if more else RECLAIM_SECONDS * random.uniform(0.5, 1)  # noqa: S311

    async def _claim(self, found: list[Abandoned]) -> bool:
        """Claim abandoned entries; return False if others stay in flight too long."""
        found = [one for one in found if one.key not in self.in_flight]
        await self._claim_shared([one for one in found if self.poison.is_shared(one.deliveries)])
        for one in found:
            if self.poison.is_shared(one.deliveries):
                continue
            if self.stop.is_set():
                break
            # The wait takes as long as the image, or as its server is unavailable.
            with self.health.paused("reclaim", rest_seconds=self._lease_seconds):
                if not await self._claim_exclusive(one):
                    return False
        return True

    async def _claim_shared(self, candidates: list[Abandoned]) -> None:
        """Claim entries as slots become free; leave the rest if none does in time."""
        while candidates and not self.stop.is_set():
            with self.health.paused("reclaim", rest_seconds=self._lease_seconds):
                async with self.in_flight.reserve_ahead(
                    len(candidates), timeout_seconds=SLOT_TIMEOUT_SECONDS
                ) as free:
                    if not free:
                        return
                    for entry in await self.streams.claim(candidates[:free]):
                        self.metrics.redeliveries.inc()
                        self._start(entry)
                candidates = candidates[free:]

    async def _claim_exclusive(self, candidate: Abandoned) -> bool:
        """Process an entry exclusively; return False if others stay in flight too long.

        An error that concerns only this entry must not block those behind it.
        """
        line = log.bind(entry=candidate.id, deliveries=candidate.deliveries)
        try:
            may_be_poison = candidate.deliveries >= self.settings.max_deliveries
            if may_be_poison and await self._end_poison(candidate):
                return True
            async with self.in_flight.exclusive(timeout_seconds=self._lease_seconds) as allowed:
                for entry in await self.streams.claim([candidate]) if allowed else ():
                    self.metrics.redeliveries.inc()
                    await asyncio.wait([self._start(entry)])
                return allowed
        except StoppedError:
            line.warning("stopped while waiting for a server")
        except Exception as error:
            if not concerns_one(error):
                raise
            text = "abandoned entry cannot be settled, retrying after a lease"
            line.warning(text, error=described(error))
            await self.streams.take_lease(candidate)
        return True

    async def _end_poison(self, candidate: Abandoned) -> bool:
        """Give up an entry if it is poison; return whether nothing is left to do for now."""
        fields = await self.streams.fields(candidate.key)
        if fields is None:
            await self.streams.acknowledge(candidate.key)
            return True
        entry = Entry(candidate.stream, candidate.id, fields, candidate.deliveries)
        handler = self.handlers[entry.stream]
        if not await self.poison.is_poison(entry, handler.parse):
            return False
        # One worker, once in each lease: storage may be unavailable now.
        if await self.streams.take_lease(candidate):
            await handler.end_poison(entry)
        return True

    def _start(self, entry: Entry) -> asyncio.Task[None]:
        """Put an entry in flight and process it."""
        self.in_flight.add(entry)
        task = self._group.create_task(self._process(entry))
        self._work.add(task)
        task.add_done_callback(self._work.discard)
        return task

    async def _process(self, entry: Entry) -> None:
        line = log.bind(entry=entry.id, deliveries=entry.deliveries)
        try:
            with _span_of(entry):
                await self.handlers[entry.stream].process(entry)
        except StoppedError:
            line.warning("stopped while waiting for a server")
        except ResponseError as error:
            line.warning("image not settled, it will be redelivered", error=described(error))
        except Exception:  # noqa: BLE001 - it is logged with its traceback
            line.exception("image not settled, it will be redelivered")
        finally:
            await self.in_flight.remove(entry.key)

    async def _renew(self) -> float:
        self.health.beat("renew", rest_seconds=self._lease_seconds / 3)
        for stream in self.streams.streams:
            held = [key.id for key in self.in_flight.keys if key.stream == stream]
            if not held:
                continue
            lost = await self.store.renew(self.streams.consumer, held, stream=stream)
            still_held = [entry for entry in lost if EntryKey(stream, entry) in self.in_flight]
            if still_held:
                log.warning("leases lost to another worker", entries=still_held)
        return self._lease_seconds / 3

    async def _measure(self) -> float:
        self.metrics.in_flight.set(len(self.in_flight))
        self.metrics.backlog.set(await self.store.backlog())
        return MEASURE_SECONDS

    async def _drain(self) -> None:
        log.info("stopping", images_in_flight=len(self.in_flight))
        try:
            async with asyncio.timeout(self.settings.drain_seconds):
                while self._work:
                    done, _ = await asyncio.wait(self._work)
                    self._work -= done
        except TimeoutError:
            log.warning("drain timed out, images will be redelivered", images=len(self.in_flight))
            for task in self._work:
                task.cancel()


def _span_of(entry: Entry) -> tracing.Span:
    attributes: tracing.Attributes = {
        "messaging.consumer.group.name": WORKERS_GROUP,
        "messaging.message.id": entry.id,
        "plate.deliveries": entry.deliveries,
    }
    return tracing.message_span(
        "process", entry.stream, parent=entry.traceparent, attributes=attributes
    )
