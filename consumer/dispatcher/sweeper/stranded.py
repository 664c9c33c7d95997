"""Entries that a group has delivered and holds no longer: made pending again.

A consumer's entries lose their owner through XGROUP DELCONSUMER, XACK, XGROUP SETID, or
XGROUP CREATE at `$`. No read would ever deliver them again, and no reclaim would find them.
"""

from typing import Any

import structlog
from redis.asyncio import Redis

from consumer.metrics import DispatcherMetrics
from schemas.redis import scripts
from schemas.redis.keys import DISPATCHER_GROUP, STRANDED_CONSUMER, WORKERS_GROUP, Keys

log = structlog.get_logger()

PAGES_PER_ROUND = 200
"""Most calls for one stream in one round; the next round goes on where this one ended."""

PENDING_PAGE = 256
MOST_IMAGES = 16
"""Stranded entries of one call: their images may be large, and the server does nothing else
meanwhile."""

EVENTS_PAGE = 100


class StrandedEntries:
    """Looks for them, a bounded number of pages in each round.

    Args:
        idle_ms: silence after which an entry is taken over. What is found gets that idle time, so
            that it is taken over at once.
    """

    def __init__(
        self, redis: Redis, keys: Keys, metrics: DispatcherMetrics, *, idle_ms: int
    ) -> None:
        self._keys = keys
        self._metrics = metrics
        self._idle_ms = idle_ms
        self._images = redis.register_script(scripts.source("adopt_images"))
        self._events = redis.register_script(scripts.source("adopt_events"))
        self._next_image = "-"
        self._reported_until = "-"
        self._next_event = "-"

    async def adopt_images(self) -> None:
        """Go through what the workers' group holds, which is what is in flight."""
        found = 0
        for _ in range(PAGES_PER_ROUND):
            answer: Any = await self._images(
                keys=[self._keys.images],
                args=[
                    WORKERS_GROUP, STRANDED_CONSUMER, self._idle_ms, self._next_image,
                    PENDING_PAGE, MOST_IMAGES,
                ],
            )  # fmt: skip
            self._next_image = answer[0].decode() or "-"
            found += answer[1]
            if not answer[0]:
                break
        self._report(self._keys.images, found)

    async def adopt_events(self) -> None:
        """Go through the events from the first that is not reported; before it all are settled."""
        found = 0
        for _ in range(PAGES_PER_ROUND):
            start = self._next_event
            answer: Any = await self._events(
                keys=[self._keys.events],
                args=[
                    DISPATCHER_GROUP, STRANDED_CONSUMER, self._idle_ms, start, EVENTS_PAGE,
                    self._keys.task(""),
                ],
            )  # fmt: skip
            if start == self._reported_until:
                self._reported_until = answer[1].decode()
            self._next_event = answer[0].decode() or self._reported_until
            found += answer[2]
            if not answer[0]:
                break
        self._report(self._keys.events, found)

    def _report(self, stream: str, found: int) -> None:
        self._metrics.stranded_entries.inc(found)
        if found:
            log.warning("stranded entries are delivered again", stream=stream, count=found)
