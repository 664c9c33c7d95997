"""The address of this service for clients: PUBLIC_URL, or the path prefix that a proxy removes."""

import re

from aiohttp import web

from producer.services.container import SERVICES
from schemas.contract.tasks import ImageResult, TaskState

FORWARDED_PREFIX = "X-Forwarded-Prefix"

# No `//`, which would begin the name of another host, and no `.` or `..`.
_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~%-]+)+")


def public_base(request: web.Request) -> str:
    """Return what each path in the response begins with; empty without PUBLIC_URL and prefix.

    The prefixes of several proxies are joined, the outermost first; an invalid one is ignored.
    """
    settings = request.app[SERVICES].settings
    if settings.public_url or not settings.trust_forwarded_prefix:
        return settings.public_url
    parts = ",".join(request.headers.getall(FORWARDED_PREFIX, [])).split(",")
    prefix = "".join(part.strip().rstrip("/") for part in parts)
    return prefix if _PREFIX.fullmatch(prefix) else ""


def with_public_urls(state: TaskState, request: web.Request) -> TaskState:
    """Return the state with the public address before each result's path.

    Whole URLs stay as they are: a worker with PUBLIC_URL writes them, and they must be the same in
    events and webhooks, which belong to no request.
    """
    base = public_base(request)
    if not base:
        return state
    results = [with_public_url(result, base) for result in state.results]
    return state.model_copy(update={"results": results})


def with_public_url(result: ImageResult, base: str) -> ImageResult:
    """Return a result with `base` before its path; see `with_public_urls`."""
    if not result.url.startswith("/"):
        return result
    return result.model_copy(update={"url": base + result.url})
