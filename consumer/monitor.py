"""Serves `/metrics` and `/health` of a consumer process."""

import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import structlog
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from consumer.errors import ConsumerError
from consumer.health import Health
from schemas.listening import bound_sockets
from schemas.process_metrics import add_process_metrics

MAX_PROCESSES = 100
"""Consumer processes of one host that can share a METRICS_PORT: the ports that are attempted."""

_LAST_PORT = 65_535

log = structlog.get_logger(__name__)


@asynccontextmanager
async def serve_monitor(
    registry: CollectorRegistry, port: int, health: Health, *, processes: int = MAX_PROCESSES
) -> AsyncIterator[None]:
    """Serve both for as long as the block runs, and log the port.

    Args:
        registry: holds the metrics.
        port: the first one that is attempted, so that processes of one host may share a setting;
            0 serves nothing.
        health: knows the problems of the process.
        processes: number of ports that are attempted.

    Raises:
        ConsumerError: every port is taken, or none may be used.
    """
    if not port:
        yield
        return

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def report_health(_: web.Request) -> web.Response:
        if problems := health.problems:
            return web.json_response({"status": "stuck", "reasons": problems}, status=503)
        return web.json_response({"status": "ok"})

    add_process_metrics(registry)
    problems = Gauge(
        "plate_health_problems", "Reasons why /health responds with 503; 0: it does not",
        registry=registry,
    )  # fmt: skip
    problems.set_function(lambda: len(health.problems))
    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/health", report_health)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        for sock in _listen(port, min(port + processes - 1, _LAST_PORT)):
            await web.SockSite(runner, sock).start()
        log.info("metrics on port", port=runner.addresses[0][1])
        yield
    finally:
        await runner.cleanup()


def _listen(first: int, last: int) -> list[socket.socket]:
    """Listen on the first free port. A check before would race with other starting processes."""
    for port in range(first, last + 1):
        with ExitStack() as opened:
            try:
                sockets = [opened.enter_context(sock) for sock in bound_sockets("", port)]
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                reason = os.strerror(error.errno) if error.errno else type(error).__name__
                raise ConsumerError(f"METRICS_PORT={first}: cannot listen: {reason}") from None
            opened.pop_all()
            return sockets
    raise ConsumerError(f"METRICS_PORT={first}: no port from {first} to {last} is free")
