"""Finding poison images: those on which a worker process ends, again and again.

The number of deliveries proves nothing: workers are restarted, evicted and disconnected whatever
they have in flight, and an image that waits for a server is in flight for long. So an image that
was redelivered more than once is processed exclusively, and an attempt counts as failed only if an
error or the end of the process comes while its pixels are being worked on.

Most processes end for reasons that have nothing to do with images. So at its first redelivery an
image is processed like a new one: it takes a slot, shares batches, and no attempt is counted. A
poison image may therefore end two processes while healthy images are in flight: the one that read
it, and the one that claimed it first. From then on it is exclusive (with a MAX_DELIVERIES of 2, one
delivery earlier). No attempt of a healthy image is counted then, since none was exclusive.

All this holds for corrections too: their entries share the slots and the exclusive mode.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from redis.exceptions import RedisError, ResponseError

from consumer.worker.stream import Entry
from schemas.contract.messages import ContractError
from schemas.redis.task_store import TaskStore, WorkItem
from schemas.retry import retry_until_stopped

DELIVERIES_WITHOUT_PROOF = 4
"""Factor of MAX_DELIVERIES after which an entry is dead-lettered without a failed attempt: for an
entry that ends the process before its pixels are reached, such as one too large to read."""

Parse = Callable[[Mapping[bytes, bytes]], WorkItem]
"""Reads the fields of an entry; raises ContractError."""

CLEAR_TIMEOUT_SECONDS = 1.0
"""Maximum wait to clear an image's attempts when its process ends."""


@dataclass(eq=False, repr=False)
class PoisonGuard:
    """Counts the failed attempts of redelivered images, in their tasks.

    `stop` ends waiting for a Redis that is unavailable. An image is dead-lettered when all its
    `max_deliveries` but the shared ones were exclusive and have failed on its pixels.
    """

    store: TaskStore
    max_deliveries: int
    stop: asyncio.Event

    def __post_init__(self) -> None:
        self._shared_deliveries = min(2, max(1, self.max_deliveries - 1))

    def is_shared(self, deliveries: int) -> bool:
        """Return whether an entry that had so many deliveries shares the process in the next one.

        The first two deliveries are shared if that leaves an exclusive one.
        """
        return deliveries < self._shared_deliveries

    async def is_poison(self, entry: Entry, parse: Parse) -> bool:
        """Return whether an entry that had at least `max_deliveries` is to be dead-lettered.

        So is one whose task has become something else: no delivery can ever settle it.
        """
        if entry.deliveries >= self.max_deliveries * DELIVERIES_WITHOUT_PROOF:
            return True
        try:
            message = parse(entry.fields)
        except ContractError:
            return True
        try:
            failed = await retry_until_stopped(
                lambda: self.store.failed_attempts(entry.id, message, entry.deliveries), self.stop
            )
        except ResponseError:
            return True
        return failed >= self.max_deliveries - self._shared_deliveries

    @asynccontextmanager
    async def watch(self, entry: Entry, message: WorkItem) -> AsyncIterator[None]:
        """Count an attempt that fails inside the block, if the image is exclusive."""
        if entry.deliveries <= self._shared_deliveries:
            yield  # it shares the process: a failure proves nothing
            return
        await retry_until_stopped(
            lambda: self.store.start_attempt(entry.id, message, entry.deliveries), self.stop
        )
        try:
            yield
        except asyncio.CancelledError:
            # The drain has timed out: the image did not cause that.
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(CLEAR_TIMEOUT_SECONDS):
                    await self.store.clear_attempts(message)
            raise
        await retry_until_stopped(lambda: self.store.clear_attempts(message), self.stop)
