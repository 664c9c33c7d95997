"""Telling an image that kills from one that was only there when something else did.

Deliveries are no proof: workers are restarted, evicted and cut off whatever they hold, and an
image that waits for a server is held for long. So an image that was redelivered more than once is
alone in its process, and is charged only with what ends its work, an error or the process' end,
while its pixels are being worked on.

Most ends of processes have nothing to do with images. So at its first redelivery an image is
handled like a new one: it takes a slot, shares batches, and is charged with nothing. An image that
kills may thus end two processes while others are in work: the one that read it, and the one that
took it over first. From then on it is alone (with a MAX_DELIVERIES of 2, one delivery earlier). The
other images are never charged, since none of them was alone.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.exceptions import RedisError, ResponseError

from consumer.worker.patience import Patience
from consumer.worker.stream import Entry
from schemas.messages import ContractError, ContractLimits, ImageMessage
from schemas.store import TaskStore

DELIVERIES_WITHOUT_PROOF = 4
"""Times MAX_DELIVERIES, for what kills before its pixels are reached: an entry too large to read,
say."""

LAST_WORD_SECONDS = 1.0
"""Longest wait to acquit an image when its process ends."""


def shared_deliveries(max_deliveries: int) -> int:
    """Deliveries of an image beside others: two, if that leaves one for a proof, else one."""
    return min(2, max(1, max_deliveries - 1))


class Trials:
    """The trials of redelivered images, counted in their tasks.

    Args:
        max_deliveries: an image is given up when all of them that it had alone have failed on its
            pixels.
    """

    def __init__(
        self, store: TaskStore, patience: Patience, limits: ContractLimits, *, max_deliveries: int
    ) -> None:
        self._store = store
        self._persist = patience
        self._limits = limits
        self._max_deliveries = max_deliveries
        self._shared_deliveries = shared_deliveries(max_deliveries)

    async def convict(self, entry: Entry) -> bool:
        """Whether an entry that has had `max_deliveries` is to be given up.

        So is one whose task has become something else: no delivery of it can ever be settled.
        """
        if entry.deliveries >= self._max_deliveries * DELIVERIES_WITHOUT_PROOF:
            return True
        try:
            message = ImageMessage.from_fields(entry.fields, self._limits)
        except ContractError:
            return True
        try:
            failed = await self._persist(
                lambda: self._store.failed_trials(entry.id, message, entry.deliveries)
            )
        except ResponseError:
            return True
        return failed >= self._max_deliveries - self._shared_deliveries

    @asynccontextmanager
    async def watch(self, entry: Entry, message: ImageMessage) -> AsyncIterator[None]:
        """Charge an image with what happens inside the block, unless it ends well."""
        if entry.deliveries <= self._shared_deliveries:
            yield  # one of many: its end would prove nothing
            return
        await self._persist(lambda: self._store.start_trial(entry.id, message, entry.deliveries))
        try:
            yield
        except asyncio.CancelledError:
            # Out of time to drain: that is not the image's doing.
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(LAST_WORD_SECONDS):
                    await self._store.acquit(message)
            raise
        await self._persist(lambda: self._store.acquit(message))
