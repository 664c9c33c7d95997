"""What operators and orchestrators ask for."""

import math
from typing import Literal

from aiohttp import hdrs, web
from prometheus_client.exposition import choose_encoder
from redis.exceptions import RedisError

from producer.errors import NotReadyError, RedisAwayError
from producer.handlers.bodies import ServiceStatus
from producer.handlers.services import SERVICES, Services, ask_redis


async def health(_: web.Request) -> web.Response:
    """Alive: the event loop turns."""
    return _status("alive")


async def ready(request: web.Request) -> web.Response:
    """Able to take work."""
    services = request.app[SERVICES]
    if services.stopping.is_set():
        raise NotReadyError("shutting down")
    verdict = await services.readiness.verdict()
    if verdict.reasons:
        raise NotReadyError("; ".join(verdict.reasons))
    return _status("ready")


async def metrics(request: web.Request) -> web.Response:
    """Prometheus' view."""
    services = request.app[SERVICES]
    await _measure_redis(services)
    try:
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
    except (TypeError, ValueError):  # it compares what is no version with one
        encode, content_type = choose_encoder("")
    return web.Response(
        body=encode(services.metrics.registry), headers={hdrs.CONTENT_TYPE: content_type}
    )


def _status(status: Literal["alive", "ready"]) -> web.Response:
    text = ServiceStatus(status=status).model_dump_json()
    return web.Response(text=text, content_type="application/json")


async def _measure_redis(services: Services) -> None:
    try:
        backlog = float(await ask_redis(services.store.backlog()))
        open_tasks = float(await ask_redis(services.redis.zcard(services.keys.open_tasks)))
    except (RedisError, RedisAwayError):
        backlog = open_tasks = math.nan  # unknown is not zero
    services.metrics.backlog.set(backlog)
    services.metrics.open_tasks.set(open_tasks)
