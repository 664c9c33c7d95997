"""The dispatcher process: reports ended tasks to the backend's webhooks, and sweeps."""

import asyncio

import structlog
from aiohttp import ClientSession

from consumer.dispatcher.connections import open_session
from consumer.dispatcher.deliveries import DeliveryStore
from consumer.dispatcher.events import READ_BLOCK_SECONDS, EventHandler, EventReader
from consumer.dispatcher.sweeper.context import SweepContext
from consumer.dispatcher.sweeper.sweeper import Sweeper
from consumer.dispatcher.webhook import DeliveryKind, Endpoint, WebhookSender
from consumer.dispatcher.webhook_dispatcher import WebhookDispatcher
from consumer.health import Health
from consumer.metrics import DispatcherMetrics
from consumer.settings import DispatcherSettings
from schemas.redis.client import connect, connect_blocking
from schemas.redis.corrections import CorrectionStore
from schemas.redis.keys import Keys
from schemas.redis.task_store import TaskStore
from schemas.retry import run_periodically
from schemas.storage.storage import Storage

log = structlog.get_logger()


async def run_dispatcher(
    settings: DispatcherSettings, metrics: DispatcherMetrics, health: Health, stop: asyncio.Event
) -> None:
    """Read events, send what is due and sweep until `stop`; then drain."""
    keys, storage = Keys(settings.key_prefix), Storage.open(settings.storage_url)
    async with (
        connect(settings) as redis,
        connect_blocking(settings, READ_BLOCK_SECONDS) as blocking,
        open_session() as session,
        asyncio.TaskGroup() as group,
    ):
        store = DeliveryStore(redis, keys, task_ttl_ms=settings.task_ttl_ms)
        tasks = TaskStore(redis, keys, task_ttl_ms=settings.task_ttl_ms)
        corrections = CorrectionStore(redis, keys, task_ttl_ms=settings.task_ttl_ms)
        dispatchers = [
            WebhookDispatcher(sender, store, metrics, health, settings)
            for sender in _senders(settings, session, storage, tasks)
        ]

        def notify() -> None:
            for dispatcher in dispatchers:
                dispatcher.notify()

        kinds = [dispatcher.kind for dispatcher in dispatchers]
        handler = EventHandler(store, storage, metrics, kinds=kinds, on_created=notify)
        reader = EventReader(
            redis, blocking, keys.events, handler.handle, health,
            lease_seconds=settings.lease_seconds,
        )  # fmt: skip
        sweeper = Sweeper(
            SweepContext(redis, keys, storage, tasks, corrections, metrics, health, settings, stop)
        )
        steps = {"events": reader.read, "reclaim": reader.reclaim, "sweep": sweeper.sweep}
        loops = [
            group.create_task(run_periodically(name, step, stop)) for name, step in steps.items()
        ]
        for dispatcher in dispatchers:
            group.create_task(dispatcher.run(stop))
        log.info("dispatcher ready", webhooks=[str(kind) for kind in kinds])
        await stop.wait()
        notify()
        # Not for longer, in case storage hangs. Another dispatcher repeats what is left.
        _, late = await asyncio.wait(loops, timeout=settings.drain_seconds)
        for loop in late:
            loop.cancel()


def _senders(
    settings: DispatcherSettings, session: ClientSession, storage: Storage, tasks: TaskStore
) -> list[WebhookSender]:
    """Return a sender for each webhook that has an address."""
    idle_seconds = settings.webhook_timeout_seconds
    upload_seconds = settings.webhook_upload_timeout_seconds
    webhooks = (
        (DeliveryKind.UPLOAD, settings.backend_upload_url, upload_seconds),
        (DeliveryKind.CALLBACK, settings.backend_callback_url, idle_seconds),
    )
    return [
        WebhookSender(
            Endpoint(kind, url, total_seconds, idle_seconds, settings.proxy_of(url)),
            session, storage, tasks.locate_result, settings.signers,
            images_field=settings.webhook_images_field,
        )
        for kind, url, total_seconds in webhooks if url
    ]  # fmt: skip
