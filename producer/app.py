"""The web application: routes, middleware, the server, and its end."""

import logging
import socket
from collections.abc import AsyncIterator, Iterable
from time import monotonic

import structlog
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from producer.access import CrossOrigin, require_api_key
from producer.errors import PROBLEM_KIND, problems
from producer.metrics import method_of, route_of
from producer.routes import events, operations, results, reviews, tasks
from producer.routes.assets import asset_routes
from producer.routes.docs import docs_routes
from producer.routes.ui import ui_routes
from producer.services.container import SERVICES, open_services
from producer.settings import ProducerSettings
from producer.traces import traced

KEEP_ALIVE_SECONDS = 75.0
_CANCEL_SECONDS = 1.0
_RESULT = "/api/v1/tasks/{task_id}/results/{file:[^/]+}"
_POLICY = "default-src 'none'; frame-ancestors 'none'"

log = structlog.get_logger(__name__)


def create_app(settings: ProducerSettings) -> web.Application:
    """Return the whole producer; connections are made when it starts."""
    cross_origin = CrossOrigin(settings.allowed_origins)
    api_key = require_api_key(settings.api_keys)
    app = web.Application(
        middlewares=[_measured, traced, problems, cross_origin.preflight, api_key]
    )

    async def services(app: web.Application) -> AsyncIterator[None]:
        async with open_services(settings) as app[SERVICES]:
            yield

    app.cleanup_ctx.append(services)
    app.on_response_prepare.append(_add_headers)
    app.on_response_prepare.append(cross_origin.add_headers)
    app.add_routes(
        [
            *(
                web.post(path, tasks.process_task, expect_handler=tasks.defer_continue)
                for path in ("/api/v1/process-task/", "/api/v1/process-task")
            ),
            web.get("/api/v1/task-status/{task_id}", tasks.task_status),
            web.get("/api/v1/task-events/{task_id}", events.task_events),
            web.delete("/api/v1/tasks/{task_id}", tasks.delete_task),
            web.post(f"{_RESULT}/covers", reviews.add_covers),
            web.post(f"{_RESULT}/accept", reviews.accept_result),
            web.get("/api/v1/reviews", reviews.reviews),
            web.get("/tasks_storage/{task_id}/output/{file:[^/]+}", results.result),
            web.get("/health", operations.health),
            web.get("/ready", operations.ready),
            web.get("/metrics", operations.metrics),
            *docs_routes(settings),
            *ui_routes(settings),
            *asset_routes(with_ui=settings.ui_enabled),
        ]
    )
    return app


def create_runner(settings: ProducerSettings) -> web.AppRunner:
    """Return the application as a server, which `listen` gives its sockets."""
    logging.getLogger("aiohttp.server").addFilter(_is_own_error)
    return web.AppRunner(
        create_app(settings),
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=KEEP_ALIVE_SECONDS,
        lingering_time=0,  # the error middleware lingers, within a number of bytes
        shutdown_timeout=_CANCEL_SECONDS,
    )


async def listen(
    runner: web.AppRunner, sockets: Iterable[socket.socket], settings: ProducerSettings
) -> None:
    """Accept connections on these bound sockets.

    aiohttp limits no write. On Linux the system closes a connection whose client takes nothing of
    its response for UPLOAD_IDLE_TIMEOUT_SECONDS; accepted sockets inherit that from these.
    """
    option: int | None = getattr(socket, "TCP_USER_TIMEOUT", None)
    for sock in sockets:
        if option is not None:
            idle_ms = int(settings.upload_idle_timeout_seconds * 1000)
            idle_ms = min(max(idle_ms, 1), 2**31 - 1)  # of a C int; 0 would mean no limit
            sock.setsockopt(socket.IPPROTO_TCP, option, idle_ms)
        await web.SockSite(runner, sock).start()


async def drain(runner: web.AppRunner) -> None:
    """Accept no more connections, and wait for the requests in flight.

    Before the runner's own cleanup, which waits too, but gives a handler nothing more of its
    request's body to read: an upload could only reach its timeout.
    """
    services = runner.app[SERVICES]
    services.stopping.set()
    services.completions.wake_all()
    for site in runner.sites:
        await site.stop()
    if not await services.in_flight.none_within(services.settings.drain_seconds):
        log.warning("requests are cut off: they took longer than DRAIN_SECONDS")


def _is_own_error(record: logging.LogRecord) -> bool:
    """Drop a traceback that aiohttp logs of each client that does not speak HTTP."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def _add_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = "plate-detect"  # aiohttp would name its versions
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    # Pages have their own; no other response is a page.
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
    except web.HTTPException as redirect:
        status = str(redirect.status)
        raise
    finally:
        metrics.requests.labels(method, route, status).inc()
        metrics.request_seconds.labels(method, route).observe(monotonic() - started)
    if services.stopping.is_set():
        response.force_close()
    if method == hdrs.METH_POST and (reason := response.get(PROBLEM_KIND)):
        metrics.tasks_refused.labels(reason).inc()
    return response
