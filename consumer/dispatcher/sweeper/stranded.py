"""Entries that a group has delivered and holds no longer: made pending again.

A consumer's entries lose their owner through XGROUP DELCONSUMER, XACK, XGROUP SETID, or
XGROUP CREATE at `$`. No read would ever deliver them again, and no reclaim would find them.
"""

import structlog
from redis.asyncio import Redis

from consumer.metrics import DispatcherMetrics
from schemas.redis.keys import Keys
from schemas.redis.scripts import Scripts

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
        self._scripts = Scripts(redis, keys)
        self._next_image = "-"
        self._reported_until = "-"
        self._next_event = "-"

    async def adopt_images(self) -> None:
        """Go through what the workers' group holds, which is what is in flight."""
        found = 0
        for _ in range(PAGES_PER_ROUND):
            next_start, count = await self._scripts.adopt_images(
                idle_ms=self._idle_ms, start=self._next_image,
                pending_page=PENDING_PAGE, max_found=MOST_IMAGES,
            )  # fmt: skip
            self._next_image = next_start or "-"
            found += count
            if not next_start:
                break
        self._report(self._keys.images, found)

    async def adopt_events(self) -> None:
        """Go through the events from the first that is not reported; before it all are settled."""
        found = 0
        for _ in range(PAGES_PER_ROUND):
            start = self._next_event
            next_start, reported_until, count = await self._scripts.adopt_events(
                idle_ms=self._idle_ms, start=start, page=EVENTS_PAGE
            )
            if start == self._reported_until:
                self._reported_until = reported_until
            self._next_event = next_start or self._reported_until
            found += count
            if not next_start:
                break
        self._report(self._keys.events, found)

    def _report(self, stream: str, found: int) -> None:
        self._metrics.stranded_entries.inc(found)
        if found:
            log.warning("stranded entries are delivered again", stream=stream, count=found)
