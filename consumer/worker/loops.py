"""The sibling loops of a worker: read, reclaim, renew, infer, until told to stop."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog
from redis.exceptions import RedisError, ResponseError

from consumer.health import Health
from consumer.metrics import WorkerMetrics
from consumer.worker.batch import Batcher
from consumer.worker.handler import EntryHandler
from consumer.worker.in_flight import InFlight
from consumer.worker.reclaim import LeasePolicy, Reclaimer
from consumer.worker.stream import Entry, WorkStream
from schemas.logs import described
from schemas.redis.task_store import TaskStore
from schemas.retry import Backoff, StoppedError, pause

log = structlog.get_logger()

RECLAIM_PAGE = 16
RECLAIM_SECONDS = 1.0
"""Between two looks for abandoned entries; adds to the lease until a dead worker's are taken."""
HEARTBEAT_SECONDS = 2.0
ROOM_TIMEOUT_SECONDS = 5.0
"""Longest wait for room in one turn of the read loop, so that the loop is seen to turn."""


class WorkerLoops:
    """One member of the workers' group.

    Args:
        stream: reads and claims entries.
        store: the atomic steps.
        handler: settles one entry.
        in_flight: the entries whose leases are renewed.
        batcher: the detector's queue; runs as long as something is held.
    """

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        stream: WorkStream,
        store: TaskStore,
        handler: EntryHandler,
        in_flight: InFlight,
        batcher: Batcher,
        metrics: WorkerMetrics,
        health: Health,
        *,
        leases: LeasePolicy,
    ) -> None:
        self._stream = stream
        self._store = store
        self._handler = handler
        self._in_flight = in_flight
        self._batcher = batcher
        self._metrics = metrics
        self._health = health
        self._lease_seconds = leases.seconds
        self._reclaimer = Reclaimer(stream, handler, in_flight, metrics, health, leases=leases)
        self._in_work: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event, *, drain_seconds: float) -> None:
        """Work until `stop`, then finish what is in flight for at most `drain_seconds`."""
        drained = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            inference = group.create_task(self._batcher.run())
            group.create_task(self._repeat(self._renew, self._lease_seconds / 3, drained))
            group.create_task(self._repeat(self._measure, HEARTBEAT_SECONDS, drained))
            self._in_work |= {
                group.create_task(self._read_loop(group, stop)),
                group.create_task(self._reclaim_loop(group, stop)),
            }
            try:
                await stop.wait()
                await self._in_flight.close()
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
            self._health.beat("read")
            try:
                await self._read(group)
                backoff.reset()
            except (RedisError, OSError) as error:
                await self._recover("read", error)
                await pause(backoff.next_delay(), stop)

    async def _read(self, group: asyncio.TaskGroup) -> None:
        async with self._in_flight.reserve(timeout_seconds=ROOM_TIMEOUT_SECONDS) as free:
            if not free:
                return
            for entry in await self._stream.read(free):
                if entry.id not in self._in_flight:  # or the group was made again
                    self._start(group, entry)

    async def _reclaim_loop(self, group: asyncio.TaskGroup, stop: asyncio.Event) -> None:
        backoff = Backoff()
        server_was_away = False

        def start(entry: Entry) -> asyncio.Task[None]:
            return self._start(group, entry)

        while not stop.is_set():
            # After an outage a pass waits for workers to renew their leases.
            self._health.beat("reclaim", rest_seconds=self._lease_seconds)
            try:
                found = await self._stream.abandoned(RECLAIM_PAGE)
                if server_was_away:
                    # Nobody could renew: the living do so first, about a second
                    # after the server's return, or an outage would count as their death.
                    server_was_away = False
                    await pause(self._lease_seconds / 2, stop)
                    continue
                alone = await self._reclaimer.take_over(found, stop, start)
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

    def _start(self, group: asyncio.TaskGroup, entry: Entry) -> asyncio.Task[None]:
        """Hold an entry, and settle it beside whatever else is held."""
        self._in_flight.add(entry)
        task = group.create_task(self._settle(entry))
        self._in_work.add(task)
        task.add_done_callback(self._in_work.discard)
        return task

    async def _settle(self, entry: Entry) -> None:
        try:
            await self._handler.handle(entry)
        except StoppedError:
            log.warning("stopped while waiting for a server", entry=entry.id)
        except ResponseError as error:
            # Not settled: its lease ends, and it is tried again, alone after its second delivery.
            log.warning(
                "image left to its lease",
                entry=entry.id, deliveries=entry.deliveries, error=described(error),
            )  # fmt: skip
        except Exception:
            log.exception("image left to its lease", entry=entry.id, deliveries=entry.deliveries)
        finally:
            await self._in_flight.remove(entry.id)

    async def _renew(self) -> None:
        self._health.beat("renew", rest_seconds=self._lease_seconds / 3)
        held = self._in_flight.entry_ids
        if held:
            lost = await self._store.renew(self._stream.consumer, held)
            still_held = [entry for entry in lost if entry in self._in_flight]
            if still_held:
                log.warning("leases lost to another worker", entries=still_held)

    async def _measure(self) -> None:
        self._metrics.in_flight.set(len(self._in_flight))
        self._metrics.backlog.set(await self._store.backlog())

    async def _repeat(
        self, call: Callable[[], Awaitable[None]], seconds: float, until: asyncio.Event
    ) -> None:
        # After a failure sooner than usual: leases run while the server is unavailable.
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
        log.info("stopping", images_in_flight=len(self._in_flight))
        try:
            async with asyncio.timeout(drain_seconds):
                while self._in_work:
                    done, _ = await asyncio.wait(self._in_work)
                    self._in_work -= done
        except TimeoutError:
            log.warning("out of time, images left to their leases", images=len(self._in_flight))
            for task in self._in_work:
                task.cancel()
