"""The sibling loops of a worker: read, reclaim, renew, infer, until told to stop."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError, ResponseError

from consumer.backoff import Backoff, StoppedError, pause
from consumer.errors import described
from consumer.metrics import STUCK_AFTER_SECONDS, WorkerMetrics
from consumer.worker.batch import Batcher
from consumer.worker.hand import Hand
from consumer.worker.handler import EntryHandler
from consumer.worker.stream import Abandoned, Entry, WorkStream
from schemas.store import TaskStore

log = structlog.get_logger()

RECLAIM_PAGE = 16
RECLAIM_SECONDS = 1.0
"""Between two looks for abandoned entries; adds to the lease until a dead worker's are taken."""
HEARTBEAT_SECONDS = 2.0
ROOM_PATIENCE_SECONDS = 5.0
"""Longest wait for room in one turn of the read loop, so that the loop is seen to turn."""


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """Silence after which others may take an entry over, and deliveries before it is given up."""

    seconds: float
    max_deliveries: int


class WorkerLoops:
    """One member of the workers' group.

    Args:
        stream: reads and claims entries.
        store: the atomic steps.
        handler: settles one entry.
        hand: what is held; its entries' leases are renewed.
        batcher: the detector's queue; runs as long as something is held.
    """

    def __init__(
        self,
        stream: WorkStream,
        store: TaskStore,
        handler: EntryHandler,
        hand: Hand,
        batcher: Batcher,
        metrics: WorkerMetrics,
        *,
        leases: LeasePolicy,
    ) -> None:
        self._stream = stream
        self._store = store
        self._handler = handler
        self._hand = hand
        self._batcher = batcher
        self._metrics = metrics
        self._lease_seconds = leases.seconds
        self._max_deliveries = leases.max_deliveries
        self._in_work: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event, *, drain_seconds: float) -> None:
        """Work until `stop`, then finish what is in hand for at most `drain_seconds`."""
        drained = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            inference = group.create_task(self._batcher.run())
            group.create_task(self._repeat(self._renew, self._lease_seconds / 3, drained))
            group.create_task(self._repeat(self._measure, HEARTBEAT_SECONDS, drained))
            self._in_work |= {
                group.create_task(self._read_loop(group, stop)),
                group.create_task(self._reclaim_loop(stop)),
            }
            try:
                await stop.wait()
                await self._hand.close()
                await self._drain(drain_seconds)
            finally:
                # Also when a sibling failed. Loops end by event: a cancellation that arrives
                # inside a Redis call may be swallowed there.
                stop.set()
                drained.set()
                inference.cancel()

    async def _read_loop(self, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        backoff = Backoff()
        while not stop.is_set():
            self._metrics.vitals.beat("read", limit_seconds=STUCK_AFTER_SECONDS)
            try:
                await self._read(group)
                backoff.reset()
            except (RedisError, OSError) as error:
                await self._recover("read", error)
                await pause(backoff.next_delay(), stop)

    async def _read(self, group: asyncio.TaskGroup) -> None:
        async with self._hand.reserve(patience_seconds=ROOM_PATIENCE_SECONDS) as free:
            if not free:
                return
            for entry in await self._stream.read(free):
                if entry.id in self._hand:
                    continue  # the group was made again; the entry is in work here already
                self._hand.take(entry)
                task = group.create_task(self._settle(entry))
                self._in_work.add(task)
                task.add_done_callback(self._in_work.discard)

    async def _reclaim_loop(self, stop: asyncio.Event) -> None:
        backoff = Backoff()
        server_was_away = False
        # A turn waits for the living after an outage, and asks a server that may be mute.
        limit = STUCK_AFTER_SECONDS + self._lease_seconds
        while not stop.is_set():
            self._metrics.vitals.beat("reclaim", limit_seconds=limit)
            try:
                found = await self._stream.abandoned(RECLAIM_PAGE)
                if server_was_away:
                    # Nobody could renew: the living do so first, about a second
                    # after the server's return, or an outage would count as their death.
                    server_was_away = False
                    await pause(self._lease_seconds / 2, stop)
                    continue
                alone = await self._take_over_all(found, stop, limit)
                backoff.reset()
                if not alone:
                    # An image holds this process up: as long as this waited, new ones have a turn.
                    await pause(self._lease_seconds, stop)
                elif len(found) < RECLAIM_PAGE:
                    await pause(RECLAIM_SECONDS * random.uniform(0.5, 1), stop)  # noqa: S311
            except (RedisError, OSError) as error:
                server_was_away = True
                await self._recover("reclaim", error)
                await pause(backoff.next_delay(), stop)

    async def _take_over_all(
        self, found: list[Abandoned], stop: asyncio.Event, limit: float
    ) -> bool:
        """Take over one after the other; False, and the rest is left, if the hand is not empty."""
        for candidate in found:
            if stop.is_set():
                break
            if candidate.id in self._hand:
                continue
            # For as long as the image takes, or its server stays away.
            with self._metrics.vitals.excused("reclaim", limit_seconds=limit):
                if not await self._try_to_take_over(candidate):
                    return False
        return True

    async def _try_to_take_over(self, candidate: Abandoned) -> bool:
        """Whatever is wrong with one entry must not keep those behind it waiting."""
        try:
            return await self._take_over(candidate)
        except StoppedError:
            log.warning("stopped while waiting for a server", entry=candidate.id)
        except ResponseError as error:
            if "NOGROUP" in str(error):
                raise
            log.exception("abandoned entry cannot be settled", entry=candidate.id)
        return True

    async def _take_over(self, candidate: Abandoned) -> bool:
        """Settle an entry all by itself; False if the hand does not become empty in time."""
        if candidate.deliveries >= self._max_deliveries:
            fields = await self._stream.fields(candidate.id)
            if fields is None:
                await self._stream.acknowledge(candidate.id)
                return True
            entry = Entry(candidate.id, fields, candidate.deliveries)
            if await self._handler.give_up_if_convicted(entry):
                return True
        async with self._hand.alone(patience_seconds=self._lease_seconds) as allowed:
            taken = await self._stream.claim(candidate) if allowed else None
            if taken is not None:
                self._metrics.redeliveries.inc()
                self._hand.take(taken)
                await self._settle(taken)
            return allowed

    async def _settle(self, entry: Entry) -> None:
        try:
            await self._handler.handle(entry)
        except StoppedError:
            log.warning("stopped while waiting for a server", entry=entry.id)
        except Exception:
            # Not settled: its lease ends, and it is tried again, alone.
            log.exception("image left to its lease", entry=entry.id, deliveries=entry.deliveries)
        finally:
            await self._hand.drop(entry.id)

    async def _renew(self) -> None:
        limit = max(STUCK_AFTER_SECONDS, self._lease_seconds)
        self._metrics.vitals.beat("renew", limit_seconds=limit)
        held = self._hand.entry_ids
        if held:
            lost = await self._store.renew(self._stream.consumer, held)
            still_held = [entry for entry in lost if entry in self._hand]
            if still_held:
                log.warning("leases lost to another worker", entries=still_held)

    async def _measure(self) -> None:
        self._metrics.in_flight.set(len(self._hand))
        self._metrics.backlog.set(await self._store.backlog())

    async def _repeat(
        self, call: Callable[[], Awaitable[None]], seconds: float, until: asyncio.Event
    ) -> None:
        # After a failure sooner than usual: leases run while the server is away.
        backoff = Backoff(cap=min(1.0, seconds / 2))
        while not until.is_set():
            delay = seconds
            try:
                await call()
                backoff.reset()
            except (RedisError, OSError) as error:
                during = call.__name__.strip("_")
                log.warning("redis is away", during=during, error=described(error))
                delay = backoff.next_delay()
            await pause(delay, until)

    async def _recover(self, during: str, error: Exception) -> None:
        """Make the group again if it vanished; everything else passes with time."""
        if isinstance(error, ResponseError) and "NOGROUP" in str(error):
            log.warning("group is gone, creating it again", during=during)
            try:
                await self._stream.ensure_group()
            except (RedisError, OSError) as second:
                error = second
            else:
                return
        log.warning("redis is away", during=during, error=described(error))

    async def _drain(self, drain_seconds: float) -> None:
        log.info("stopping", images_in_hand=len(self._hand))
        try:
            async with asyncio.timeout(drain_seconds):
                while self._in_work:
                    done, _ = await asyncio.wait(self._in_work)
                    self._in_work -= done
        except TimeoutError:
            log.warning("out of time, images left to their leases", images=len(self._hand))
            for task in self._in_work:
                task.cancel()
