"""Tasks and deliveries that are missing where they are looked for: found by going through all keys.

An administrator may have used ZREM or DEL on the set of open tasks or of due deliveries, or XDEL,
XTRIM or DEL on the stream of events. What was removed there is still in the hashes. The same holds
for entries that are due later than anything may wait, because the server's clock was ahead, or
because somebody used ZADD.
"""

from typing import Any

import structlog
from redis.asyncio import Redis

from consumer.dispatcher.sweeper.failures import Failures
from consumer.dispatcher.webhook import DeliveryKind
from consumer.metrics import DispatcherMetrics
from schemas.contract.tasks import TaskStatus
from schemas.redis.keys import Keys
from schemas.redis.scripts import Scripts

log = structlog.get_logger()

SCANS_PER_ROUND = 25
KEYS_PER_SCAN = 200
"""So many keys are looked at in one round; the next round goes on where this one ended."""

_FINAL = tuple(str(status).encode() for status in TaskStatus if status.is_final)


class ForgottenWork:
    """Puts open tasks, due deliveries and unreported events back where they are looked for."""

    def __init__(
        self, redis: Redis, keys: Keys, metrics: DispatcherMetrics, failures: Failures, *,
        max_age_ms: int,
    ) -> None:  # fmt: skip
        self._redis = redis
        self._keys = keys
        self._metrics = metrics
        self._failures = failures
        self._max_age_ms = max_age_ms
        self._scripts = Scripts(redis, keys)
        self._cursor = 0

    async def look(self) -> None:
        """Look at the next keys."""
        tasks, deliveries = self._keys.task(""), self._keys.delivery("")
        for _ in range(SCANS_PER_ROUND):
            answer: Any = await self._redis.scan(self._cursor, count=KEYS_PER_SCAN)
            self._cursor, names = answer
            found = [name.decode(errors="replace") for name in names]
            await self._look_at_tasks([n.removeprefix(tasks) for n in found if n.startswith(tasks)])
            await self._look_at_deliveries(
                [n.removeprefix(deliveries) for n in found if n.startswith(deliveries)]
            )
            if not self._cursor:
                return

    async def _look_at_tasks(self, task_ids: list[str]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for task_id in task_ids:
            pipeline.hmget(self._keys.task(task_id), "status", "event", "reported")
            pipeline.zscore(self._keys.open_tasks, task_id)
        answers = await pipeline.execute(raise_on_error=False)
        now_ms = await self._now_ms()
        for task_id, held, active in zip(task_ids, answers[::2], answers[1::2], strict=True):
            with self._failures.isolate("forgotten", task_id):
                status, event, reported = _answer(held)
                if status in _FINAL and event and not reported:
                    await self._reissue_event(task_id)
                elif (
                    status is not None
                    and status not in _FINAL
                    and self._is_missing(_answer(active), now_ms)
                ):
                    await self._add(self._keys.open_tasks, task_id, "open task", now_ms)

    async def _look_at_deliveries(self, delivery_ids: list[str]) -> None:
        kinds = [(i, kind) for i in delivery_ids for kind in DeliveryKind if i.endswith(f"_{kind}")]
        pipeline = self._redis.pipeline(transaction=False)
        for delivery_id, kind in kinds:
            pipeline.hmget(self._keys.delivery(delivery_id), "state", "created_at")
            pipeline.zscore(self._keys.due_deliveries(kind), delivery_id)
        answers = await pipeline.execute(raise_on_error=False)
        now_ms = await self._now_ms()
        for (delivery_id, kind), held, due in zip(kinds, answers[::2], answers[1::2], strict=True):
            with self._failures.isolate("forgotten", delivery_id):
                state, created = _answer(held)
                # An older one is given up, see DeliveryStore.forget_unowned.
                is_young = created is not None and now_ms - int(created) < self._max_age_ms
                if state == b"due" and is_young and self._is_missing(_answer(due), now_ms):
                    await self._add(
                        self._keys.due_deliveries(kind), delivery_id, "delivery", now_ms
                    )

    def _is_missing(self, score: float | None, now_ms: int) -> bool:
        return score is None or score > now_ms + self._max_age_ms

    async def _add(self, key: str, member: str, what: str, now_ms: int) -> None:
        """As of now. What has ended meanwhile is dropped by whoever comes to see it."""
        if await self._redis.zadd(key, {member: now_ms}, lt=True, ch=True):
            self._note(what, member)

    async def _reissue_event(self, task_id: str) -> None:
        if await self._scripts.reissue_event(task_id, max_age_ms=self._max_age_ms):
            self._note("event", task_id)

    def _note(self, what: str, name: str) -> None:
        self._metrics.forgotten_work.inc()
        log.warning("forgotten work found again", what=what, id=name)

    async def _now_ms(self) -> int:
        seconds, microseconds = await self._redis.time()
        return int(seconds) * 1000 + int(microseconds) // 1000


def _answer(answer: Any) -> Any:
    """An answer of a pipeline; raises the error that stands for it."""
    if isinstance(answer, Exception):
        raise answer
    return answer
