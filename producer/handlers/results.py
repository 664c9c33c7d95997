"""Handing out results: only what a live task lists, and only outputs."""

import asyncio
from collections.abc import AsyncIterator

import structlog
from aiohttp import hdrs, web

from producer.errors import UnknownResultError, UnknownTaskError
from producer.handlers.services import SERVICES, ask_redis
from producer.handlers.tasks import task_id_of
from schemas.layout import output_key
from schemas.results import lists_result
from schemas.storage import StorageError

log = structlog.get_logger(__name__)


async def result(request: web.Request) -> web.StreamResponse:
    """One covered image, streamed from storage."""
    services = request.app[SERVICES]
    task_id, name = await _listed(request)
    try:
        stored = await services.storage.open_object(output_key(task_id, name))
    except FileNotFoundError:
        raise UnknownResultError from None
    response = web.StreamResponse(
        headers={
            hdrs.CONTENT_TYPE: "image/webp",
            hdrs.CACHE_CONTROL: "private, no-cache",
        }
    )
    response.etag = stored.etag
    if stored.etag in [tag.value for tag in request.if_none_match or ()]:
        response.set_status(304)
        return response
    response.content_length = stored.size
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        idle_seconds = services.settings.upload_idle_timeout_seconds
        try:
            await _send(response, stored.chunks, idle_seconds)
        except (StorageError, TimeoutError, ConnectionError) as error:
            # The status line is out. A cut connection is all that still tells the client that
            # what it has is not the whole.
            reason = f"{type(error).__name__}: {error}"
            log.warning("result cut off", task_id=task_id, error=reason)
            if request.transport is not None:
                request.transport.abort()
    return response


async def _listed(request: web.Request) -> tuple[str, str]:
    """Task id and file name of the path, if that task lists it."""
    services, name = request.app[SERVICES], request.match_info["file"]
    try:
        task_id = task_id_of(request)
    except UnknownTaskError:
        raise UnknownResultError from None
    if not await ask_redis(lists_result(services.redis, services.keys, task_id, name)):
        raise UnknownResultError
    return task_id, name


async def _send(
    response: web.StreamResponse, chunks: AsyncIterator[bytes], idle_seconds: float
) -> None:
    # Storage may fall silent. So may the client, but that is StallGuard's matter: one that takes
    # a chunk's bytes a few at a time may need any time for all of them.
    while True:
        async with asyncio.timeout(idle_seconds):
            chunk = await anext(chunks, None)
        if chunk is None:
            return
        await response.write(chunk)
