"""Finding poison images: those on which a worker process ends, again and again.

Deliveries alone prove nothing: workers are restarted, evicted and disconnected whatever they have
in flight, and an image that waits for a server is in flight for long. So an image that was
redelivered more than once is processed exclusively, and an attempt counts as failed only if an
error or the end of the process comes while its pixels are being worked on.

Most ends of processes have nothing to do with images. So at its first redelivery an image is
processed like a new one: it takes a slot, shares batches, and no attempt is counted. So a poison
image may end two processes while healthy images are in flight: the one that read it, and the one
that claimed it first. From then on it is exclusive (with a MAX_DELIVERIES of 2, one delivery
earlier). No attempt of a healthy image is counted then, since none of them was exclusive.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.exceptions import RedisError, ResponseError

from consumer.worker.stream import Entry
from schemas.contract.messages import ContractError, ContractLimits, ImageMessage
from schemas.redis.task_store import TaskStore
from schemas.retry import retry_until_stopped

DELIVERIES_WITHOUT_PROOF = 4
"""Factor of MAX_DELIVERIES after which an entry is dead-lettered without a failed attempt: for an
entry that ends the process before its pixels are reached, such as one too large to read."""

LAST_WORD_SECONDS = 1.0
"""Longest wait to clear an image's attempts when its process ends."""


def shared_deliveries(max_deliveries: int) -> int:
    """Return how many deliveries of an image are shared: two if that leaves one exclusive."""
    return min(2, max(1, max_deliveries - 1))


class PoisonGuard:
    """Counts the failed attempts of redelivered images, in their tasks.

    Args:
        stop: ends waiting for a Redis that is unavailable.
        max_deliveries: an image is dead-lettered when all of these but the shared ones were
            exclusive and have failed on its pixels.
    """

    def __init__(
        self,
        store: TaskStore,
        stop: asyncio.Event,
        limits: ContractLimits,
        *,
        max_deliveries: int,
    ) -> None:
        self._store = store
        self._stop = stop
        self._limits = limits
        self._max_deliveries = max_deliveries
        self._shared_deliveries = shared_deliveries(max_deliveries)

    async def is_poison(self, entry: Entry) -> bool:
        """Return whether an entry that has had `max_deliveries` is to be dead-lettered.

        So is one whose task has become something else: no delivery of it can ever be settled.
        """
        if entry.deliveries >= self._max_deliveries * DELIVERIES_WITHOUT_PROOF:
            return True
        try:
            message = ImageMessage.from_fields(entry.fields, self._limits)
        except ContractError:
            return True
        try:
            failed = await retry_until_stopped(
                lambda: self._store.failed_attempts(entry.id, message, entry.deliveries), self._stop
            )
        except ResponseError:
            return True
        return failed >= self._max_deliveries - self._shared_deliveries

    @asynccontextmanager
    async def watch(self, entry: Entry, message: ImageMessage) -> AsyncIterator[None]:
        """Count an attempt that fails inside the block, if the image is exclusive."""
        if entry.deliveries <= self._shared_deliveries:
            yield  # it shares the process: a failure would prove nothing
            return
        await retry_until_stopped(
            lambda: self._store.start_attempt(entry.id, message, entry.deliveries), self._stop
        )
        try:
            yield
        except asyncio.CancelledError:
            # The drain has run out of time: the image did not cause that.
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(LAST_WORD_SECONDS):
                    await self._store.clear_attempts(message)
            raise
        await retry_until_stopped(lambda: self._store.clear_attempts(message), self._stop)
