"""The address of this service for clients: PUBLIC_URL, or the path prefix that a proxy removes."""

import re

from aiohttp import web

from producer.handlers.services import SERVICES
from schemas.contract.tasks import TaskState

FORWARDED_PREFIX = "X-Forwarded-Prefix"

# No `//`, which would begin the name of another host, and no `.` or `..`.
_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~%-]+)+")


def public_base(request: web.Request) -> str:
    """Return what each path in the answer begins with; empty without PUBLIC_URL and prefix."""
    settings = request.app[SERVICES].settings
    if settings.public_url or not settings.trust_forwarded_prefix:
        return settings.public_url
    return _joined(request.headers.getall(FORWARDED_PREFIX, []))


def located(state: TaskState, base: str) -> TaskState:
    """Return the state with `base` before each result's path; whole URLs stay as they are.

    A worker with PUBLIC_URL writes whole URLs: they must be the same in events and webhooks, which
    belong to no request.
    """
    if not base:
        return state
    results = [
        result.model_copy(update={"url": base + result.url})
        if result.url.startswith("/")
        else result
        for result in state.results
    ]
    return state.model_copy(update={"results": results})


def _joined(lines: list[str]) -> str:
    """Join the prefixes of several proxies, the outermost first; empty if that is no valid path."""
    parts = (part.strip().rstrip("/") for line in lines for part in line.split(","))
    prefix = "".join(parts)
    return prefix if _PREFIX.fullmatch(prefix) else ""
