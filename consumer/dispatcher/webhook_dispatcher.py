"""Sends the deliveries of one kind when they are due, so many at a time."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable

import structlog

from consumer.dispatcher.deliveries import Claim, DeliveryState, DeliveryStore
from consumer.dispatcher.retry import RetryPolicy
from consumer.dispatcher.webhook import (
    Answer,
    DeliveryKind,
    Verdict,
    WebhookSender,
    result_names,
)
from consumer.health import Health
from consumer.metrics import DispatcherMetrics
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
"""Longest time between polls: another dispatcher may die after creating, before sending."""

_UNANSWERED: tuple[type[Exception], ...] = (*TRANSIENT, StoppedError)

_FINAL = {
    Verdict.DELIVERED: DeliveryState.DELIVERED,
    Verdict.REFUSED: DeliveryState.DEAD,
    Verdict.CANCELLED: DeliveryState.CANCELLED,
}

# A person is needed where nothing will be tried again; a retry is what retries are for.
_LOG_LEVELS = {"dead": logging.ERROR, "lost": logging.WARNING}


class WebhookDispatcher:
    """Sends the webhooks of one kind.

    Args:
        slots: maximum number of attempts at once.
        lease_seconds: lease of an attempt; longer than an attempt can take.
    """

    def __init__(  # noqa: PLR0913
        self,
        kind: DeliveryKind,
        store: DeliveryStore,
        sender: WebhookSender,
        policy: RetryPolicy,
        metrics: DispatcherMetrics,
        health: Health,
        *,
        slots: int,
        lease_seconds: float,
    ) -> None:
        self._kind = kind
        self._store = store
        self._sender = sender
        self._policy = policy
        self._metrics = metrics
        self._health = health
        self._slots = slots
        self._lease_seconds = lease_seconds
        self._wakeup = asyncio.Event()
        self._in_flight: set[asyncio.Task[None]] = set()

    def notify(self) -> None:
        """Something changed: a new delivery, a free slot, a stop."""
        self._wakeup.set()

    async def run(self, stop: asyncio.Event, *, drain_seconds: float) -> None:
        """Send until `stop`, then let tries under way end for at most `drain_seconds`.

        What is left is redelivered when its lease ends.
        """
        try:
            await run_periodically(
                f"{self._kind} deliveries", lambda: self._poll(stop), stop, wakeup=self._wakeup
            )
            if self._in_flight:
                await asyncio.wait(self._in_flight, timeout=drain_seconds)
        finally:
            left = list(self._in_flight)
            for attempt in left:
                attempt.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            if left:
                log.warning("deliveries left to their leases", kind=self._kind, count=len(left))

    async def _poll(self, stop: asyncio.Event) -> float:
        """Start what is due and has a slot; returns how long nothing else will be due."""
        self._health.beat(str(self._kind))
        self._wakeup.clear()
        free = self._slots - len(self._in_flight)
        due = await self._store.due(self._kind, free)
        self._metrics.due.labels(self._kind).set(due.total)
        for delivery_id in due.ids:
            claim = await self._claim(delivery_id)
            if claim is not None:
                self._start(claim, stop)
        if len(self._in_flight) >= self._slots or due.next_seconds is None:
            return POLL_SECONDS
        return min(due.next_seconds, POLL_SECONDS)

    async def _claim(self, delivery_id: str) -> Claim | None:
        """Claim a delivery; one that is none is put off: it must not keep the others waiting."""
        try:
            return await self._store.claim(
                self._kind, delivery_id, lease_seconds=self._lease_seconds
            )
        except Exception as error:
            if not concerns_one(error):
                raise
            self._metrics.deliveries.labels(self._kind, "unusable").inc()
            log.warning("delivery unusable", delivery=delivery_id, error=described(error))
            await self._store.put_off(self._kind, delivery_id, seconds=self._lease_seconds)
            return None

    def _start(self, claim: Claim, stop: asyncio.Event) -> None:
        attempt = asyncio.create_task(self._attempt(claim, stop))
        self._in_flight.add(attempt)
        attempt.add_done_callback(self._ended)

    def _ended(self, attempt: asyncio.Task[None]) -> None:
        self._in_flight.discard(attempt)
        self.notify()

    async def _attempt(self, claim: Claim, stop: asyncio.Event) -> None:
        started = time.monotonic()
        line = log.bind(
            task_id=claim.delivery.task_id, kind=str(self._kind), attempt=claim.attempts
        )
        try:
            answer = await self._answer(claim, stop)
            seconds = time.monotonic() - started
            self._metrics.delivery_seconds.labels(self._kind).observe(seconds)
            outcome = await self._settle(claim, answer, stop)
        except _UNANSWERED as error:
            line.warning("delivery left to its lease", error=described(error))
            return
        self._metrics.deliveries.labels(self._kind, outcome).inc()
        if outcome != "delivered":
            line = line.bind(filenames=result_names(claim.delivery))
        line.log(
            _LOG_LEVELS.get(outcome, logging.INFO), f"delivery {outcome}",
            status=answer.reason, seconds=round(seconds, 3),
        )  # fmt: skip

    async def _answer(self, claim: Claim, stop: asyncio.Event) -> Answer:
        try:
            if await self._patiently(lambda: self._store.is_withdrawn(claim.delivery), stop):
                return Answer(Verdict.CANCELLED, "task deleted")
            return await self._sender.send(claim.delivery)
        except _UNANSWERED:
            raise
        except Exception:
            # A defect that one delivery meets must not end the others; it is tried again later.
            log.exception("delivery failed unexpectedly", task_id=claim.delivery.task_id)
            return Answer(Verdict.FAILED, "internal error")

    async def _settle(self, claim: Claim, answer: Answer, stop: asyncio.Event) -> str:
        """Record the answer; returns the state reached, `retry`, or `lost`."""
        delay = self._policy.next_delay(
            attempts=claim.attempts,
            age_seconds=claim.age_seconds,
            retry_after_seconds=answer.retry_after_seconds,
            random=random.random,
        )
        again = DeliveryState.DEAD if delay is None else DeliveryState.DUE
        state = _FINAL.get(answer.verdict, again)
        # An answer that is not recorded makes the receiver get it twice.
        held = await self._patiently(
            lambda: self._store.settle(
                claim, state, reason=answer.reason, delay_seconds=delay or 0
            ),
            stop,
        )
        if not held:
            return "lost"
        return "retry" if state is DeliveryState.DUE else str(state)

    async def _patiently(self, call: Callable[[], Awaitable[bool]], stop: asyncio.Event) -> bool:
        """Outlast a short absence of Redis, but not the lease."""
        async with asyncio.timeout(self._lease_seconds):
            return await retry_until_stopped(call, stop)
