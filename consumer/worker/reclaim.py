"""Abandoned entries: claimed beside others or exclusively, or dead-lettered."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError, ResponseError

from consumer.health import Health
from consumer.metrics import WorkerMetrics
from consumer.worker.handler import EntryHandler
from consumer.worker.in_flight import InFlight
from consumer.worker.poison import shared_deliveries
from consumer.worker.stream import Abandoned, Entry, WorkStream
from schemas.logs import described
from schemas.retry import StoppedError, is_passing

log = structlog.get_logger()

ROOM_TIMEOUT_SECONDS = 5.0
"""Longest wait of a first redelivery for a free slot in one turn."""


@dataclass(frozen=True, slots=True)
class LeasePolicy:
    """Idle time after which others may claim an entry; deliveries before it is dead-lettered."""

    seconds: float
    max_deliveries: int


class Reclaimer:
    """Takes abandoned entries over: first redeliveries beside others, later ones alone."""

    def __init__(
        self,
        stream: WorkStream,
        handler: EntryHandler,
        in_flight: InFlight,
        metrics: WorkerMetrics,
        health: Health,
        *,
        leases: LeasePolicy,
    ) -> None:
        self._stream = stream
        self._handler = handler
        self._in_flight = in_flight
        self._metrics = metrics
        self._health = health
        self._lease_seconds = leases.seconds
        self._max_deliveries = leases.max_deliveries
        self._shared_deliveries = shared_deliveries(leases.max_deliveries)

    async def take_over(
        self,
        found: list[Abandoned],
        stop: asyncio.Event,
        start: Callable[[Entry], "asyncio.Task[None]"],
    ) -> bool:
        """Claim what was found; return False if other entries stay in flight too long.

        Args:
            start: holds an entry and begins to settle it; the task ends when that has ended.
        """
        found = [candidate for candidate in found if candidate.id not in self._in_flight]
        await self._share([c for c in found if c.deliveries < self._shared_deliveries], stop, start)
        for candidate in found:
            if stop.is_set():
                break
            if candidate.deliveries < self._shared_deliveries:
                continue
            # For as long as the image takes, or its server is unavailable.
            with self._health.paused("reclaim", rest_seconds=self._lease_seconds):
                if not await self._try_alone(candidate, start):
                    return False
        return True

    async def _share(
        self,
        candidates: list[Abandoned],
        stop: asyncio.Event,
        start: Callable[[Entry], "asyncio.Task[None]"],
    ) -> None:
        """Claim as many at once as have a slot, like new ones, until all are; or leave the rest."""
        while candidates and not stop.is_set():
            with self._health.paused("reclaim", rest_seconds=self._lease_seconds):
                async with self._in_flight.reserve_ahead(
                    len(candidates), timeout_seconds=ROOM_TIMEOUT_SECONDS
                ) as free:
                    if not free:
                        return
                    for entry in await self._stream.claim(candidates[:free]):
                        self._metrics.redeliveries.inc()
                        start(entry)
                candidates = candidates[free:]

    async def _try_alone(
        self, candidate: Abandoned, start: Callable[[Entry], "asyncio.Task[None]"]
    ) -> bool:
        """Whatever is wrong with one entry must not keep those behind it waiting."""
        try:
            return await self._alone(candidate, start)
        except StoppedError:
            log.warning("stopped while waiting for a server", entry=candidate.id)
        except Exception as error:
            passes = isinstance(error, RedisError) and not isinstance(error, ResponseError)
            if passes or isinstance(error, OSError) or _concerns_the_server(error):
                raise
            log.warning(
                "abandoned entry cannot be settled, left to another lease",
                entry=candidate.id, deliveries=candidate.deliveries, error=described(error),
            )  # fmt: skip
            await self._stream.hold(candidate)
        return True

    async def _alone(
        self, candidate: Abandoned, start: Callable[[Entry], "asyncio.Task[None]"]
    ) -> bool:
        """Settle an entry all by itself; False if other entries stay in flight too long."""
        if candidate.deliveries >= self._max_deliveries:
            fields = await self._stream.fields(candidate.id)
            if fields is None:
                await self._stream.acknowledge(candidate.id)
                return True
            entry = Entry(candidate.id, fields, candidate.deliveries)
            if await self._handler.is_poison(entry):
                # By one worker, once for each lease: it may not be possible just now.
                if await self._stream.hold(candidate):
                    await self._handler.give_up(entry)
                return True
        async with self._in_flight.exclusive(timeout_seconds=self._lease_seconds) as allowed:
            for taken in await self._stream.claim([candidate]) if allowed else ():
                self._metrics.redeliveries.inc()
                await asyncio.wait([start(taken)])
            return allowed


def _concerns_the_server(error: Exception) -> bool:
    return isinstance(error, ResponseError) and (is_passing(error) or "NOGROUP" in str(error))
