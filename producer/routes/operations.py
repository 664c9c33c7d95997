"""Health, readiness and metrics, for operators and orchestrators."""

from typing import Literal

from aiohttp import hdrs, web
from prometheus_client.exposition import choose_encoder

from producer.errors import NotReadyError
from producer.services.container import SERVICES
from producer.services.readiness import ServiceStatus


async def health(_: web.Request) -> web.Response:
    """Respond that the process is alive: its event loop is not blocked."""
    return _status("alive")


async def ready(request: web.Request) -> web.Response:
    """Respond whether the producer can take work."""
    services = request.app[SERVICES]
    if services.stopping.is_set():
        raise NotReadyError("shutting down")
    if problems := await services.readiness.problems():
        raise NotReadyError("; ".join(problems))
    return _status("ready")


async def metrics(request: web.Request) -> web.Response:
    """Respond with the metrics in a format that Prometheus accepts."""
    services = request.app[SERVICES]
    await services.measurements.update(services.metrics)
    try:
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
    except (TypeError, ValueError):  # of a version that is not one
        encode, content_type = choose_encoder("")
    return web.Response(
        body=encode(services.metrics.registry), headers={hdrs.CONTENT_TYPE: content_type}
    )


def _status(status: Literal["alive", "ready"]) -> web.Response:
    text = ServiceStatus(status=status).model_dump_json()
    return web.Response(text=text, content_type="application/json")
