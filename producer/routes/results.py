"""Serving results: only what a live task lists, and only outputs."""

import asyncio
import re

import structlog
from aiohttp import hdrs, web

from producer.errors import PreconditionFailedError, UnknownResultError
from producer.services.container import SERVICES, with_timeout
from schemas.contract.messages import TASK_ID_PATTERN
from schemas.logs import described
from schemas.storage.layout import output_key
from schemas.storage.storage import ObjectInfo, StorageError, StoredObject

_CONDITIONS = (
    hdrs.IF_MATCH, hdrs.IF_NONE_MATCH, hdrs.IF_MODIFIED_SINCE, hdrs.IF_UNMODIFIED_SINCE,
)  # fmt: skip
_TAG = re.compile(r'(W/)?"([^"]*)"')

log = structlog.get_logger(__name__)


async def result(request: web.Request) -> web.StreamResponse:
    """Stream one covered image from storage. Its file is opened only if it is to be sent."""
    storage = request.app[SERVICES].storage
    task_id, name = await _listed(request)
    key, is_head = output_key(task_id, name), request.method == hdrs.METH_HEAD
    try:
        if is_head or any(header in request.headers for header in _CONDITIONS):
            info = await storage.describe(key)
            if _is_known(request, info):
                return _response(info, status=304)
            if is_head:
                return _response(info)
        stored = await storage.open_object(key)
    except FileNotFoundError:
        raise UnknownResultError from None
    return await _stream(request, stored, task_id)


async def _listed(request: web.Request) -> tuple[str, str]:
    """Return task id and file name of the path, if that task lists it."""
    store = request.app[SERVICES].store
    task_id, name = request.match_info["task_id"], request.match_info["file"]
    is_task = re.fullmatch(TASK_ID_PATTERN, task_id) is not None
    if not is_task or not await with_timeout(store.lists_result(task_id, name)):
        raise UnknownResultError
    return task_id, name


def _is_known(request: web.Request, info: ObjectInfo) -> bool:
    """Return whether the client has the content already (304): RFC 9110, section 13.

    Dates count only where there are no tags.

    Raises:
        PreconditionFailedError: If-Match or If-Unmodified-Since do not hold.
    """
    if hdrs.IF_MATCH in request.headers:
        if not _has_tag(request, hdrs.IF_MATCH, info.etag, weak=False):
            raise PreconditionFailedError
    elif (limit := request.if_unmodified_since) and info.modified > limit:
        raise PreconditionFailedError
    if hdrs.IF_NONE_MATCH in request.headers:
        return _has_tag(request, hdrs.IF_NONE_MATCH, info.etag, weak=True)
    since = request.if_modified_since
    return since is not None and info.modified <= since


def _has_tag(request: web.Request, header: str, etag: str | None, *, weak: bool) -> bool:
    """Return whether the tag is in a list, which may be spread over several lines, or is `*`."""
    tags = ",".join(request.headers.getall(header))  # aiohttp's own parser reads only one line
    if "*" in _TAG.sub("", tags):
        return True
    return any(tag == etag and (weak or not mark) for mark, tag in _TAG.findall(tags))


def _response(info: ObjectInfo, *, status: int = 200) -> web.StreamResponse:
    response = web.StreamResponse(
        status=status,
        headers={hdrs.CONTENT_TYPE: "image/webp", hdrs.CACHE_CONTROL: "private, no-cache"},
    )
    response.etag = info.etag
    response.last_modified = info.modified
    if status == 200:
        response.content_length = info.size
    return response


async def _stream(request: web.Request, stored: StoredObject, task_id: str) -> web.StreamResponse:
    response = _response(stored.info)
    await response.prepare(request)
    idle_seconds = request.app[SERVICES].settings.upload_idle_timeout_seconds
    try:
        while True:
            async with asyncio.timeout(idle_seconds):  # of storage; see `listen` for the client
                chunk = await anext(stored.chunks, None)
            if chunk is None:
                break
            await response.write(chunk)
    except (StorageError, TimeoutError, ConnectionError) as error:
        # The status line is sent. Only a cut connection still shows the client that the result is
        # not complete.
        log.warning("result cut off", task_id=task_id, error=described(error))
        if request.transport is not None:
            request.transport.abort()
    return response
