"""Jobs on tasks: restore lost images and corrections, fail what never comes, repair indexes."""

from typing import Any

import structlog

from consumer.dispatcher.deliveries import valid_members
from consumer.dispatcher.sweeper.context import PAGE, SweepContext
from consumer.dispatcher.webhook import DeliveryKind
from schemas.contract.tasks import TaskStatus
from schemas.redis.reviews import ReviewQueue
from schemas.redis.scripts import Scripts

log = structlog.get_logger()

MAX_COMPLETE_TASKS = 1000
"""Inactive tasks of one pass whose images are all in the stream. With a large backlog most tasks
are inactive; the next pass continues where this one ended."""

SCANS_PER_PASS = 25
KEYS_PER_SCAN = 200
"""The keys that one pass goes through; the next one continues there."""

_FINAL = tuple(str(status).encode() for status in TaskStatus if status.is_final)


class TaskJobs:
    """Handles tasks that no entry and no event refers to any more."""

    def __init__(self, context: SweepContext) -> None:
        self._context = context
        self._redis = context.redis
        self._keys = context.keys
        self._ttl_ms = context.settings.task_ttl_ms
        self._scripts = Scripts(context.redis, context.keys)
        self._corrections = context.corrections
        self._reviews = ReviewQueue(context.redis, context.keys)
        self._restore_from = 0
        self._cursor = 0

    async def restore(self) -> None:
        """Add open images again that the stream has lost, so that they need not time out.

        Only after a lease without activity: until then a worker may hold the image.
        """
        context = self._context
        idle_ms = int(context.settings.lease_seconds * 1000)
        before_ms, complete = await context.now_ms() - idle_ms, 0
        while complete < MAX_COMPLETE_TASKS:
            task_ids = await self._inactive(before_ms, self._restore_from)
            if not task_ids:
                self._restore_from = 0
                return
            for task_id in task_ids:
                context.step()
                added = 0
                with context.isolated("restore", task_id):
                    added = await context.tasks.restore(task_id, min_idle_ms=idle_ms)
                complete += not added
                self._restore_from += not added
                context.metrics.restored_images.inc(added)
                if added:
                    log.warning("images added to the stream again", task_id=task_id, images=added)

    async def expire(self) -> None:
        """Fail tasks whose images will never come, and refresh the TTL of the others."""
        context, settings = self._context, self._context.settings
        timeout_ms = int(settings.task_timeout_seconds * 1000)
        before_ms = await context.now_ms() - min(timeout_ms, self._ttl_ms // 4)
        kept, task_ids = 0, await self._inactive(before_ms, 0)
        while task_ids:
            for task_id in task_ids:
                context.step()
                result = "failing"
                with context.isolated("expire", task_id):
                    result = await context.tasks.expire(task_id, timeout_ms=timeout_ms)
                kept += result in ("active", "queued", "failing")
                if result in ("completed", "failed"):
                    context.metrics.expired_tasks.inc()
                    log.warning("task timed out", task_id=task_id, status=result)
            task_ids = await self._inactive(before_ms, kept)

    async def _inactive(self, before_ms: int, skip: int) -> list[str]:
        self._context.step()
        key = self._keys.open_tasks
        rows: Any = await self._redis.zrangebyscore(key, "-inf", before_ms, start=skip, num=PAGE)
        return await valid_members(self._redis, key, rows)

    async def put_back(self) -> None:
        """Find tasks, deliveries, events and corrections that are missing from their set or stream.

        An administrator may have used ZREM or DEL on the set of open tasks or of due deliveries, or
        XDEL, XTRIM or DEL on the event stream: what was removed there is still in the hashes. The
        same holds for entries with a time so late that nothing may wait for it, because the
        server's clock was ahead, or because of a ZADD.
        """
        tasks, deliveries = self._keys.task(""), self._keys.delivery("")
        for _ in range(SCANS_PER_PASS):
            reply: Any = await self._redis.scan(self._cursor, count=KEYS_PER_SCAN)
            self._cursor = reply[0]
            found = [name.decode(errors="replace") for name in reply[1]]
            await self._put_back_tasks(
                [n.removeprefix(tasks) for n in found if n.startswith(tasks)]
            )
            await self._put_back_deliveries(
                [n.removeprefix(deliveries) for n in found if n.startswith(deliveries)]
            )
            if not self._cursor:
                return

    async def _put_back_tasks(self, task_ids: list[str]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for task_id in task_ids:
            pipeline.hmget(self._keys.task(task_id), "status", "event", "reported", "is_corrected")
            pipeline.zscore(self._keys.open_tasks, task_id)
        replies = await pipeline.execute(raise_on_error=False)
        now_ms = await self._context.now_ms()
        for task_id, fields, active in zip(task_ids, replies[::2], replies[1::2], strict=True):
            with self._context.isolated("forgotten", task_id):
                status, event, reported, is_corrected = _checked(fields)
                if status in _FINAL:
                    if event and not reported:
                        await self._reissue_event(task_id)
                    if is_corrected:
                        await self._mend_corrections(task_id)
                elif status is not None and self._is_missing(_checked(active), now_ms):
                    await self._add(self._keys.open_tasks, task_id, "open task", now_ms)

    async def _put_back_deliveries(self, delivery_ids: list[str]) -> None:
        kinds = [(i, kind) for i in delivery_ids for kind in DeliveryKind if i.endswith(f"_{kind}")]
        pipeline = self._redis.pipeline(transaction=False)
        for delivery_id, kind in kinds:
            pipeline.hmget(self._keys.delivery(delivery_id), "state", "created_at")
            pipeline.zscore(self._keys.due_deliveries(kind), delivery_id)
        replies = await pipeline.execute(raise_on_error=False)
        now_ms = await self._context.now_ms()
        for (delivery_id, kind), fields, due in zip(
            kinds, replies[::2], replies[1::2], strict=True
        ):
            with self._context.isolated("forgotten", delivery_id):
                state, created = _checked(fields)
                # An older one has expired, see StreamJobs.forget_deliveries.
                is_live = created is not None and now_ms - int(created) < self._ttl_ms
                if state == b"due" and is_live and self._is_missing(_checked(due), now_ms):
                    key = self._keys.due_deliveries(kind)
                    await self._add(key, delivery_id, "delivery", now_ms)

    def _is_missing(self, score: float | None, now_ms: int) -> bool:
        return score is None or score > now_ms + self._ttl_ms

    async def _add(self, key: str, member: str, what: str, now_ms: int) -> None:
        """Add a member as of now. The next one to read it drops it if it has ended meanwhile."""
        if await self._redis.zadd(key, {member: now_ms}, lt=True, ch=True):
            self._note(what, member)

    async def _reissue_event(self, task_id: str) -> None:
        if await self._scripts.reissue_event(task_id, max_age_ms=self._ttl_ms):
            self._note("event", task_id)

    async def _mend_corrections(self, task_id: str) -> None:
        added, published = await self._corrections.mend(task_id)
        for what, count in (("correction", added), ("event", published)):
            for _ in range(count):
                self._note(what, task_id)

    async def forget_reviews(self) -> None:
        """Drop the results of expired tasks from the queue; a task lives at least its TTL."""
        before_ms = await self._context.now_ms() - self._ttl_ms
        await self._reviews.drop_expired(before_ms)

    def _note(self, what: str, name: str) -> None:
        self._context.metrics.forgotten_work.inc()
        log.warning("removed work put back", what=what, id=name)


def _checked(reply: Any) -> Any:
    """Return the reply to one command of a pipeline, or raise the error that stands for it."""
    if isinstance(reply, Exception):
        raise reply
    return reply
