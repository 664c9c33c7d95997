"""Sends the deliveries of one kind when they are due, with a maximum number in flight."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from consumer.dispatcher.deliveries import DeliveryStore
from consumer.dispatcher.schedule import MAX_AGE_SECONDS, RetryPolicy
from consumer.dispatcher.webhook import (
    AttemptResult,
    Delivery,
    DeliveryState,
    WebhookSender,
    result_names,
)
from consumer.health import Health
from consumer.metrics import DispatcherMetrics
from consumer.settings import DispatcherSettings
from schemas.logs import described
from schemas.retry import (
    TRANSIENT,
    StoppedError,
    concerns_one,
    retry_until_stopped,
    run_periodically,
)

log = structlog.get_logger()

POLL_SECONDS = 5.0
"""Maximum time between polls: another dispatcher may die after creating, before sending."""

_UNSETTLED: tuple[type[Exception], ...] = (*TRANSIENT, StoppedError)

# An error needs the operator: nothing attempts the delivery again. A retry needs nothing.
_LOG_LEVELS = {"dead": logging.ERROR, "lost": logging.WARNING}


@dataclass(eq=False, repr=False)
class WebhookDispatcher:
    """Sends the webhooks of one kind: what is due is claimed, sent, and settled."""

    sender: WebhookSender
    store: DeliveryStore
    metrics: DispatcherMetrics
    health: Health
    settings: DispatcherSettings

    def __post_init__(self) -> None:
        settings, endpoint = self.settings, self.sender.endpoint
        self.kind = endpoint.kind
        for outcome in ("delivered", "retry", "dead"):
            self.metrics.deliveries.labels(self.kind, outcome)
        self._slots = settings.webhook_concurrency
        # Longer than an attempt can take, by as much as recording its result may take.
        self._lease_seconds = endpoint.total_seconds + settings.lease_seconds
        max_age_seconds = min(MAX_AGE_SECONDS, settings.task_storage_ttl_hours * 3600 / 2)
        self._policy = RetryPolicy(settings.retry_schedule, max_age_seconds)
        self._wakeup = asyncio.Event()
        self._in_flight: set[asyncio.Task[None]] = set()

    def notify(self) -> None:
        """Poll now: there is a new delivery, a free slot, or a stop."""
        self._wakeup.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop`, then wait for attempts in flight for at most the drain.

        What is left is redelivered when its lease ends.
        """
        try:
            await run_periodically(
                f"{self.kind} deliveries", lambda: self._poll(stop), stop, wakeup=self._wakeup
            )
            if self._in_flight:
                await asyncio.wait(self._in_flight, timeout=self.settings.drain_seconds)
        finally:
            left = list(self._in_flight)
            for attempt in left:
                attempt.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            if left:
                log.warning("deliveries will be redelivered", kind=self.kind, count=len(left))

    async def _poll(self, stop: asyncio.Event) -> float:
        """Start what is due and has a slot; return the seconds until another is due."""
        self.health.beat(self.kind)
        self._wakeup.clear()
        due = await self.store.due(self.kind, self._slots - len(self._in_flight))
        self.metrics.due.labels(self.kind).set(due.total)
        for delivery_id in due.ids:
            delivery = await self._claim(delivery_id)
            if delivery is not None:
                attempt = asyncio.create_task(self._attempt(delivery, stop))
                self._in_flight.add(attempt)
                attempt.add_done_callback(self._end)
        if len(self._in_flight) >= self._slots or due.next_seconds is None:
            return POLL_SECONDS
        return min(due.next_seconds, POLL_SECONDS)

    def _end(self, attempt: asyncio.Task[None]) -> None:
        self._in_flight.discard(attempt)
        self.notify()

    async def _claim(self, delivery_id: str) -> Delivery | None:
        """Claim a delivery; postpone it if it is unusable: it must not block the others."""
        try:
            return await self.store.claim(self.kind, delivery_id, lease_seconds=self._lease_seconds)
        except Exception as error:
            if not concerns_one(error):
                raise
            self.metrics.deliveries.labels(self.kind, "unusable").inc()
            log.warning("delivery unusable", delivery=delivery_id, error=described(error))
            await self.store.postpone(self.kind, delivery_id, seconds=self._lease_seconds)
            return None

    async def _attempt(self, delivery: Delivery, stop: asyncio.Event) -> None:
        started = time.monotonic()
        line = log.bind(task_id=delivery.task_id, kind=self.kind, attempt=delivery.attempts)
        try:
            result = await self._send(delivery, stop)
            seconds = time.monotonic() - started
            self.metrics.delivery_seconds.labels(self.kind).observe(seconds)
            outcome = await self._settle(delivery, result, stop)
        except _UNSETTLED as error:
            line.warning("delivery not settled, will be redelivered", error=described(error))
            return
        self.metrics.deliveries.labels(self.kind, outcome).inc()
        if outcome != "delivered":
            line = line.bind(filenames=result_names(delivery))
        line.log(
            _LOG_LEVELS.get(outcome, logging.INFO), f"delivery {outcome}",
            status=result.reason, seconds=round(seconds, 3),
        )  # fmt: skip

    async def _send(self, delivery: Delivery, stop: asyncio.Event) -> AttemptResult:
        if await self._retried(lambda: self.store.is_withdrawn(delivery), stop):
            return AttemptResult(DeliveryState.CANCELLED, "task deleted")
        try:
            return await self.sender.send(delivery)
        except StoppedError:
            raise
        except TRANSIENT:
            # Of Redis, which names the files of an upload. Left to its lease, which is as long as
            # an upload may take, the delivery would wait for minutes.
            return AttemptResult(DeliveryState.DUE, "redis unavailable")
        except Exception:
            # A defect that one delivery meets must not end the others; it is attempted again later.
            log.exception("delivery failed unexpectedly", task_id=delivery.task_id)
            return AttemptResult(DeliveryState.DUE, "internal error")

    async def _settle(self, delivery: Delivery, result: AttemptResult, stop: asyncio.Event) -> str:
        """Record the result of an attempt; return the state reached, `retry`, or `lost`."""
        delay = self._policy.next_delay(
            attempts=delivery.attempts,
            age_seconds=delivery.age_seconds,
            retry_after_seconds=result.retry_after_seconds,
            chance=random.random(),  # noqa: S311 - jitter is no secret
        )
        is_over = result.state is DeliveryState.DUE and delay is None
        state = DeliveryState.DEAD if is_over else result.state
        # Without the record the receiver would get the delivery twice.
        is_held = await self._retried(
            lambda: self.store.settle(
                delivery, state, reason=result.reason, delay_seconds=delay or 0
            ),
            stop,
        )
        if not is_held:
            return "lost"
        return "retry" if state is DeliveryState.DUE else str(state)

    async def _retried(self, call: Callable[[], Awaitable[bool]], stop: asyncio.Event) -> bool:
        """Repeat a call while Redis is unavailable, but not longer than the lease."""
        async with asyncio.timeout(self._lease_seconds):
            return await retry_until_stopped(call, stop)
