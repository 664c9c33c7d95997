"""`/metrics` and `/health` of a consumer process."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest


@asynccontextmanager
async def serve_monitor(
    registry: CollectorRegistry, port: int, complaints: Callable[[], Sequence[str]]
) -> AsyncIterator[None]:
    """Serve both for as long as the block runs; nothing if `port` is 0. Raises OSError if taken.

    Args:
        complaints: why the process is not healthy, in words; none if it is.
    """
    if not port:
        yield
        return

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def health(_: web.Request) -> web.Response:
        found = list(complaints())
        body = {"status": "stuck", "reasons": found} if found else {"status": "ok"}
        return web.json_response(body, status=503 if found else 200)

    app = web.Application()
    app.add_routes([web.get("/metrics", metrics), web.get("/health", health)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()
