"""Serving results: only what a live task lists, and only outputs."""

import asyncio
import re

import structlog
from aiohttp import hdrs, web

from producer.errors import PreconditionFailedError, UnknownResultError
from producer.services.container import SERVICES, with_timeout
from schemas.contract.messages import TASK_ID_PATTERN
from schemas.logs import described
from schemas.redis.task_store import LocatedResult
from schemas.storage.layout import output_key
from schemas.storage.storage import ObjectInfo, StorageError, StoredObject

_CONDITIONS = (
    hdrs.IF_MATCH, hdrs.IF_NONE_MATCH, hdrs.IF_MODIFIED_SINCE, hdrs.IF_UNMODIFIED_SINCE,
)  # fmt: skip
_TAG = re.compile(r'(W/)?"([^"]*)"')

DELIVERY = "delivery"
"""Of the query: with the value `proxy` a request is never redirected."""

log = structlog.get_logger(__name__)


async def result(request: web.Request) -> web.StreamResponse:
    """Stream one covered image from storage, or redirect to it there.

    Its file is opened only if it is to be sent.
    """
    located = await _located(request)
    while True:
        try:
            return await _send(request, located)
        except FileNotFoundError:
            # A new version may have replaced it just before it was opened.
            before, located = located, await _located(request)
            if located == before:
                raise UnknownResultError from None


async def _send(request: web.Request, located: LocatedResult) -> web.StreamResponse:
    """Send a version of a result; raises FileNotFoundError if it is gone."""
    storage, task_id = request.app[SERVICES].storage, request.match_info["task_id"]
    key, is_head = output_key(task_id, located.file), request.method == hdrs.METH_HEAD
    if is_head or any(header in request.headers for header in _CONDITIONS):
        info = await storage.describe(key)
        if _is_known(request, info, is_corrected=located.version > 0):
            return _response(info, status=304)
        if is_head:
            return _response(info)
    if _is_redirected(request) and (url := await storage.signed_url(key)):
        headers = {hdrs.LOCATION: url, hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(status=307, headers=headers)
    return await _stream(request, await storage.open_object(key), task_id)


def _is_redirected(request: web.Request) -> bool:
    """Return whether the client is to read the result from the bucket.

    The service's own page cannot: its Content-Security-Policy allows no other host.
    """
    settings = request.app[SERVICES].settings
    return settings.result_delivery == "redirect" and request.query.get(DELIVERY) != "proxy"


async def _located(request: web.Request) -> LocatedResult:
    """Return the current version of the result of the path, if that task lists it."""
    store = request.app[SERVICES].store
    task_id, name = request.match_info["task_id"], request.match_info["file"]
    if re.fullmatch(TASK_ID_PATTERN, task_id) is None:
        raise UnknownResultError
    located = await with_timeout(store.locate_result(task_id, name))
    if located is None:
        raise UnknownResultError
    return located


def _is_known(request: web.Request, info: ObjectInfo, *, is_corrected: bool) -> bool:
    """Return whether the client has the content already (304): RFC 9110, section 13.

    Dates count only where there are no tags. The date of a corrected result proves nothing: it is
    in whole seconds, and the version before may be of the same second.

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
    return since is not None and info.modified <= since and not is_corrected


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
