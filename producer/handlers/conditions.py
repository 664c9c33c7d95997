"""Conditional requests: RFC 9110, section 13, for answers to GET and HEAD."""

import re

from aiohttp import hdrs, web

from producer.errors import PreconditionFailedError
from schemas.storage.object_info import ObjectInfo

_HEADERS = (
    hdrs.IF_MATCH, hdrs.IF_NONE_MATCH, hdrs.IF_MODIFIED_SINCE, hdrs.IF_UNMODIFIED_SINCE,
)  # fmt: skip
_TAG = re.compile(r'(W/)?"([^"]*)"')


def is_conditional(request: web.Request) -> bool:
    """Whether the answer may be another than the content."""
    return any(name in request.headers for name in _HEADERS)


def is_known(request: web.Request, info: ObjectInfo) -> bool:
    """Whether the client has the content already (304). Dates count only where there are no tags.

    Raises PreconditionFailedError if If-Match or If-Unmodified-Since do not hold.
    """
    if hdrs.IF_MATCH in request.headers:
        if not _matches(request, hdrs.IF_MATCH, info.etag, weak=False):
            raise PreconditionFailedError
    elif (limit := request.if_unmodified_since) and info.modified > limit:
        raise PreconditionFailedError
    if hdrs.IF_NONE_MATCH in request.headers:
        return _matches(request, hdrs.IF_NONE_MATCH, info.etag, weak=True)
    since = request.if_modified_since
    return since is not None and info.modified <= since


def _matches(request: web.Request, header: str, etag: str | None, *, weak: bool) -> bool:
    """Whether the tag is in a list, which may be spread over several lines, or is `*`."""
    listed = ",".join(request.headers.getall(header))
    if "*" in _TAG.sub("", listed):
        return True
    return any(tag == etag and (weak or not mark) for mark, tag in _TAG.findall(listed))
