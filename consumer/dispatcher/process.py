"""The dispatcher process: tells backends what became of tasks, and sweeps up."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from standardwebhooks import Webhook

from consumer.dispatcher.deliveries import DeliveryStore
from consumer.dispatcher.events import READ_BLOCK_SECONDS, EventHandler, EventReader, EventStream
from consumer.dispatcher.retry import RetryPolicy
from consumer.dispatcher.sweeper import Sweeper, SweepRules
from consumer.dispatcher.webhook import DeliveryKind, Endpoint, WebhookSender, open_session
from consumer.dispatcher.webhook_dispatcher import WebhookDispatcher
from consumer.health import Health
from consumer.membership import consumer_name
from consumer.metrics import DispatcherMetrics
from consumer.settings import DispatcherSettings
from schemas.redis.client import connect, connect_blocking
from schemas.redis.keys import Keys
from schemas.redis.task_store import TaskStore
from schemas.retry import run_periodically
from schemas.storage.storage import Storage

log = structlog.get_logger()

MAX_AGE_SECONDS = 24 * 3600.0
"""No webhook is tried for longer, whatever the life of its task."""


async def run_dispatcher(
    settings: DispatcherSettings, metrics: DispatcherMetrics, health: Health, stop: asyncio.Event
) -> None:
    """Read events, send what is due and sweep until `stop`; then drain."""
    async with _assembled(settings, metrics, health) as parts, asyncio.TaskGroup() as group:
        loops = [
            group.create_task(run_periodically("events", parts.reader.read, stop)),
            group.create_task(run_periodically("reclaim", parts.reader.reclaim, stop)),
            group.create_task(run_periodically("sweep", lambda: parts.sweeper.sweep(stop), stop)),
        ]
        for webhook_dispatcher in parts.webhook_dispatchers:
            group.create_task(webhook_dispatcher.run(stop, drain_seconds=settings.drain_seconds))
        log.info("dispatcher ready", webhooks=[str(kind) for kind in endpoints_of(settings)])
        await stop.wait()
        _notify(parts.webhook_dispatchers)
        # Storage that hangs answers too late. What they leave is repeated by whoever comes next.
        _, late = await asyncio.wait(loops, timeout=settings.drain_seconds)
        for loop in late:
            loop.cancel()


def endpoints_of(settings: DispatcherSettings) -> dict[DeliveryKind, Endpoint]:
    """The webhooks that have an address."""
    silence = settings.webhook_timeout_seconds
    kinds = {
        DeliveryKind.UPLOAD: (settings.backend_upload_url, settings.webhook_upload_timeout_seconds),
        DeliveryKind.CALLBACK: (settings.backend_callback_url, silence),
    }
    return {
        kind: Endpoint(url, total, silence, settings.proxy_of(url))
        for kind, (url, total) in kinds.items()
        if url
    }


@dataclass(frozen=True, slots=True)
class _Parts:
    reader: EventReader
    sweeper: Sweeper
    webhook_dispatchers: list[WebhookDispatcher]


@asynccontextmanager
async def _assembled(
    settings: DispatcherSettings, metrics: DispatcherMetrics, health: Health
) -> AsyncIterator[_Parts]:
    """Connect everything; what was opened is closed in reverse order."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(settings))
        blocking = await stack.enter_async_context(connect_blocking(settings, READ_BLOCK_SECONDS))
        session = await stack.enter_async_context(open_session())
        keys = Keys(settings.key_prefix)
        storage = Storage.open(settings.storage_url)
        deliveries = DeliveryStore(redis, keys, task_ttl_ms=settings.task_ttl_ms)
        sender = WebhookSender(
            session, storage, endpoints_of(settings), _signers(settings),
            images_field=settings.webhook_images_field,
        )  # fmt: skip
        webhook_dispatchers = _webhook_dispatchers(settings, deliveries, sender, metrics, health)
        sweeper = Sweeper(
            redis, keys, TaskStore(redis, keys, task_ttl_ms=settings.task_ttl_ms), deliveries,
            storage=storage, metrics=metrics, health=health, rules=_sweep_rules(settings),
        )  # fmt: skip
        stream = EventStream(
            redis, blocking, stream=keys.events, consumer=consumer_name(),
            lease_ms=int(settings.lease_seconds * 1000),
        )  # fmt: skip
        handler = EventHandler(
            deliveries, storage, metrics, kinds=endpoints_of(settings),
            on_created=lambda: _notify(webhook_dispatchers),
        )  # fmt: skip
        reader = EventReader(
            stream, handler.handle, health.beat, reclaim_seconds=settings.lease_seconds / 3
        )
        yield _Parts(reader, sweeper, webhook_dispatchers)


def _notify(webhook_dispatchers: list[WebhookDispatcher]) -> None:
    for webhook_dispatcher in webhook_dispatchers:
        webhook_dispatcher.notify()


def _webhook_dispatchers(
    settings: DispatcherSettings,
    store: DeliveryStore,
    sender: WebhookSender,
    metrics: DispatcherMetrics,
    health: Health,
) -> list[WebhookDispatcher]:
    policy = RetryPolicy(
        settings.retry_schedule,
        min(MAX_AGE_SECONDS, settings.task_storage_ttl_hours * 3600 / 2),
    )
    return [
        WebhookDispatcher(
            kind, store, sender, policy, metrics, health,
            slots=settings.webhook_concurrency,
            # Past the longest possible try by as much as recording its answer may take.
            lease_seconds=endpoint.total_seconds + settings.lease_seconds,
        )
        for kind, endpoint in endpoints_of(settings).items()
    ]  # fmt: skip


def _sweep_rules(settings: DispatcherSettings) -> SweepRules:
    return SweepRules(
        sweep_interval=settings.sweep_interval_seconds,
        lease=settings.lease_seconds,
        upload_grace=settings.upload_grace_seconds,
        task_timeout=settings.task_timeout_seconds,
        consumer_idle=settings.consumer_idle_seconds,
        task_ttl=settings.task_storage_ttl_hours * 3600,
        dead_letter_ttl=settings.dead_letter_ttl_hours * 3600,
    )


def _signers(settings: DispatcherSettings) -> list[Webhook]:
    return [Webhook(secret.get_secret_value()) for secret in settings.webhook_secrets]
