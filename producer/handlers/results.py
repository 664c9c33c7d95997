"""Handing out results: only what a live task lists, and only outputs."""

import asyncio
from collections.abc import AsyncIterator

import structlog
from aiohttp import hdrs, web

from producer.errors import UnknownResultError, UnknownTaskError
from producer.handlers.conditions import is_conditional, is_known
from producer.handlers.services import SERVICES, ask_redis
from producer.handlers.tasks import task_id_of
from schemas.redis.results import lists_result
from schemas.storage.layout import output_key
from schemas.storage.object_info import ObjectInfo, StoredObject
from schemas.storage.storage import StorageError

log = structlog.get_logger(__name__)


async def result(request: web.Request) -> web.StreamResponse:
    """One covered image, streamed from storage. Its file is opened only if it is to be sent."""
    storage = request.app[SERVICES].storage
    task_id, name = await _listed(request)
    key, is_head = output_key(task_id, name), request.method == hdrs.METH_HEAD
    try:
        if is_head or is_conditional(request):
            info = await storage.describe(key)
            if is_known(request, info):
                return _answer(info, status=304)
            if is_head:
                return _answer(info)
        stored = await storage.open_object(key)
    except FileNotFoundError:
        raise UnknownResultError from None
    return await _stream(request, stored, task_id)


def _answer(info: ObjectInfo, *, status: int = 200) -> web.StreamResponse:
    response = web.StreamResponse(
        status=status,
        headers={
            hdrs.CONTENT_TYPE: "image/webp",
            hdrs.CACHE_CONTROL: "private, no-cache",
        },
    )
    response.etag = info.etag
    response.last_modified = info.modified
    if status == 200:
        response.content_length = info.size
    return response


async def _stream(request: web.Request, stored: StoredObject, task_id: str) -> web.StreamResponse:
    response = _answer(stored.info)
    await response.prepare(request)
    idle_seconds = request.app[SERVICES].settings.upload_idle_timeout_seconds
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
    # Storage may stop answering. A client that stops reading is SlowReaderGuard's task: one that
    # takes a chunk's bytes a few at a time may need any time for all of them.
    while True:
        async with asyncio.timeout(idle_seconds):
            chunk = await anext(chunks, None)
        if chunk is None:
            return
        await response.write(chunk)
