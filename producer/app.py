"""The web application: routes, middleware, and what lives as long as the process."""

import asyncio
import logging
from collections.abc import AsyncIterator
from time import monotonic

import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from producer.access import guard
from producer.cross_origin import CrossOrigin
from producer.docs import pages
from producer.errors import PROBLEM_KIND, problems
from producer.handlers import events, operations, results, tasks
from producer.handlers.completions import READ_BLOCK_SECONDS, Completions
from producer.handlers.readiness import Readiness
from producer.handlers.services import SERVICES, Services
from producer.handlers.slow_readers import SlowReaderGuard
from producer.metrics import Metrics, method_of, route_of
from producer.settings import ProducerSettings
from producer.uploads.form import UploadLimits
from producer.uploads.idempotency import IdempotencyKeys
from producer.uploads.shielded_tasks import ShieldedTasks
from producer.uploads.submit import Submitter
from producer.uploads.upload_service import UploadService
from schemas.redis.client import connect, connect_blocking
from schemas.redis.keys import Keys
from schemas.redis.task_store import TaskStore
from schemas.storage.storage import Storage

SETTINGS = web.AppKey("settings", ProducerSettings)

_SUBMIT_PATIENCE_SECONDS = 20.0
_KEEP_ALIVE_SECONDS = 75.0
_CANCEL_SECONDS = 1.0
_POLICY = "default-src 'none'; frame-ancestors 'none'"

log = structlog.get_logger(__name__)


def create_app(settings: ProducerSettings) -> web.Application:
    """The whole producer; connections are made when it starts."""
    cross_origin = CrossOrigin(settings.allowed_origins)
    app = web.Application(
        middlewares=[_measured, problems, cross_origin.preflight, guard(settings.api_keys)]
    )
    app[SETTINGS] = settings
    app.cleanup_ctx.append(_services)
    app.on_response_prepare.append(_common_headers)
    app.on_response_prepare.append(cross_origin.admit)
    _cut_off_who_does_not_read(app, SlowReaderGuard(settings.upload_idle_timeout_seconds))
    _add_routes(app)
    pages.add_to(app, settings)
    return app


class _OnlyOurErrors(logging.Filter):
    """Drops what aiohttp says of clients that do not speak HTTP: a traceback for each of them."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_ONLY_OUR_ERRORS = _OnlyOurErrors()


def create_runner(settings: ProducerSettings) -> web.AppRunner:
    """The application as a server that any address can be bound to."""
    logging.getLogger("aiohttp.server").addFilter(_ONLY_OUR_ERRORS)
    return web.AppRunner(
        create_app(settings),
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        lingering_time=0,  # the error middleware lingers, within a number of bytes
        shutdown_timeout=_CANCEL_SECONDS,
    )


async def drain(runner: web.AppRunner) -> None:
    """Let nobody new in, and wait for the requests in flight.

    Before the runner's own cleanup, which waits too, but gives a handler nothing more of its
    request's body to read: an upload could only run into its timeout.
    """
    services = runner.app[SERVICES]
    services.stopping.set()
    for site in runner.sites:
        await site.stop()
    if not await services.in_flight.none_within(services.settings.drain_seconds):
        log.warning("requests are cut off: they outlasted the drain")


def _add_routes(app: web.Application) -> None:
    router = app.router
    for path in ("/api/v1/process-task/", "/api/v1/process-task"):
        router.add_post(path, tasks.process_task, expect_handler=tasks.defer_continue)
    router.add_get("/api/v1/task-status/{task_id}", tasks.task_status)
    router.add_get("/api/v1/task-events/{task_id}", events.task_events)
    router.add_delete("/api/v1/tasks/{task_id}", tasks.delete_task)
    router.add_get("/tasks_storage/{task_id}/output/{file:[^/]+}", results.result)
    router.add_get("/health", operations.health)
    router.add_get("/ready", operations.ready)
    router.add_get("/metrics", operations.metrics)


def _cut_off_who_does_not_read(app: web.Application, guard: SlowReaderGuard) -> None:
    async def watch(request: web.Request, _: web.StreamResponse) -> None:
        guard.watch(request)

    async def look_on(_: web.Application) -> AsyncIterator[None]:
        async with guard.running():
            yield

    app.on_response_prepare.append(watch)
    app.cleanup_ctx.append(look_on)


async def _services(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    # Submits run on a client that repeats nothing by itself: see Submitter.
    redis, submit_redis = connect(settings), connect_blocking(settings, block_seconds=0)
    event_reader = connect_blocking(settings, READ_BLOCK_SECONDS)
    keys = Keys(settings.key_prefix)
    completions = Completions(event_reader, keys.events)
    store = TaskStore(redis, keys, task_ttl_ms=settings.task_ttl_ms)
    submitter = Submitter(
        TaskStore(submit_redis, keys, task_ttl_ms=settings.task_ttl_ms),
        max_backlog=settings.max_backlog_images,
        timeout_seconds=_SUBMIT_PATIENCE_SECONDS,
    )
    storage = Storage.open(settings.storage_url)
    cleanups = ShieldedTasks()
    slots = settings.max_concurrent_uploads
    intake = UploadService(storage, submitter, UploadLimits.of(settings), cleanups, slots=slots)
    app[SERVICES] = Services(
        settings=settings,
        redis=redis,
        keys=keys,
        store=store,
        storage=storage,
        metrics=Metrics(),
        intake=intake,
        idempotency=IdempotencyKeys(
            store, cleanups, lease_seconds=settings.idempotency_lease_seconds
        ),
        event_streams=asyncio.Semaphore(settings.max_event_streams),
        readiness=Readiness(store, storage, max_backlog=settings.max_backlog_images),
        completions=completions,
    )
    async with completions.running():
        yield
    await cleanups.close()  # what is left belongs to the sweeper and to leases
    await redis.aclose()
    await submit_redis.aclose()
    await event_reader.aclose()


async def _common_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = "plate-detect"  # aiohttp would name its versions
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    # The documentation's pages bring their own; nothing else is a page.
    response.headers.setdefault("Content-Security-Policy", _POLICY)


@web.middleware
async def _measured(request: web.Request, handler: Handler) -> web.StreamResponse:
    services, started = request.app[SERVICES], monotonic()
    metrics = services.metrics
    method, route, status = method_of(request), route_of(request), "aborted"
    try:
        with services.in_flight:
            response = await handler(request)
        status = str(response.status)
    except web.HTTPException as answer:
        status = str(answer.status)
        raise
    finally:
        metrics.requests.labels(method, route, status).inc()
        metrics.request_seconds.labels(method, route).observe(monotonic() - started)
    if services.stopping.is_set():
        response.force_close()
    if method == hdrs.METH_POST and (reason := response.get(PROBLEM_KIND)):
        metrics.tasks_refused.labels(reason).inc()
    return response
