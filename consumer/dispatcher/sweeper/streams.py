"""Jobs on streams and their groups: old entries, idle consumers, entries without a consumer.

A consumer's entries lose their owner through XGROUP DELCONSUMER, XACK, XGROUP SETID, or
XGROUP CREATE at `$`. No read would ever deliver such stranded entries again, and no reclaim would
find them.
"""

import structlog

from consumer.dispatcher.sweeper.context import SweepContext
from consumer.dispatcher.webhook import DeliveryKind
from schemas.redis.scripts import Scripts
from schemas.retry import is_missing_group

log = structlog.get_logger()

CALLS_PER_PASS = 200
"""Maximum number of calls for the stranded entries of one stream; the next pass continues there."""

PENDING_PAGE = 256
MAX_IMAGES = 16
"""Stranded entries of one call: their images may be large, and the server does nothing else
meanwhile."""

EVENTS_PAGE = 100


class StreamJobs:
    """Keeps the streams of the workers and the event stream in order.

    Args:
        pending_page: pending entries that one call goes through.
        max_images: stranded entries that one call makes pending again.
    """

    def __init__(
        self,
        context: SweepContext,
        *,
        pending_page: int = PENDING_PAGE,
        max_images: int = MAX_IMAGES,
    ) -> None:
        self._context = context
        self._redis = context.redis
        self._keys = context.keys
        self._scripts = Scripts(context.redis, context.keys)
        self._pending_page = pending_page
        self._max_images = max_images
        # What is found gets this idle time, so that it is taken over at once.
        self._idle_ms = int(context.settings.lease_seconds * 1000)
        self._next_entry: dict[str, str] = {}
        self._reported_until = "-"
        self._next_event = "-"

    async def trim(self, stream: str, ttl_hours: float) -> None:
        """Delete old entries: exactly, since an event must not outlive its deliveries' hashes."""
        oldest_ms = await self._context.now_ms() - int(ttl_hours * 3_600_000)
        await self._redis.xtrim(stream, minid=oldest_ms, approximate=False)

    async def forget_deliveries(self) -> None:
        """Remove expired deliveries: of an address that is no longer set, and dead ones."""
        oldest_ms = await self._context.now_ms() - self._context.settings.task_ttl_ms
        keys = [self._keys.due_deliveries(kind) for kind in DeliveryKind]
        for key in (*keys, self._keys.dead_deliveries):
            await self._redis.zremrangebyscore(key, "-inf", oldest_ms)

    async def reap(self, stream: str, group: str) -> None:
        """Remove consumers of a group that are idle and hold nothing."""
        idle_ms = int(self._context.settings.consumer_idle_seconds * 1000)
        try:
            removed = await self._scripts.reap(stream, group, min_idle_ms=idle_ms)
        except Exception as error:
            if not is_missing_group(error):
                raise
        else:
            if removed:
                log.info("idle consumers removed", group=group, count=len(removed))

    async def adopt_entries(self, stream: str) -> None:
        """Make a worker's entries pending again that were delivered and are not pending."""
        found = 0
        for _ in range(CALLS_PER_PASS):
            next_start, count = await self._scripts.adopt_entries(
                stream, idle_ms=self._idle_ms, start=self._next_entry.get(stream, "-"),
                pending_page=self._pending_page, max_found=self._max_images,
            )  # fmt: skip
            self._next_entry[stream] = next_start or "-"
            found += count
            if not next_start:
                break
        self._report(stream, found)

    async def adopt_events(self) -> None:
        """Make events pending again that were delivered and are neither pending nor reported."""
        found = 0
        for _ in range(CALLS_PER_PASS):
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
        self._context.metrics.stranded_entries.inc(found)
        if found:
            log.warning("stranded entries are delivered again", stream=stream, count=found)
