"""Where clients find this service: below PUBLIC_URL, or below the prefix that a proxy cuts off."""

import re

from aiohttp import web

from producer.handlers.services import SERVICES
from schemas.tasks import TaskState

FORWARDED_PREFIX = "X-Forwarded-Prefix"

# No `//`, which would begin the name of another host, and no `.` or `..`.
_PREFIX = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~%-]+)+")


def public_base(request: web.Request) -> str:
    """What every path in the answer is to begin with; empty if nothing is known of a proxy."""
    settings = request.app[SERVICES].settings
    if settings.public_url or not settings.trust_forwarded_prefix:
        return settings.public_url
    return _joined(request.headers.getall(FORWARDED_PREFIX, []))


def located(state: TaskState, base: str) -> TaskState:
    """The state with each result's path below `base`. What is a whole URL already stays as it is.

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
    """The prefix; several proxies each add theirs, the outermost first. Nonsense counts as none."""
    parts = (part.strip().rstrip("/") for line in lines for part in line.split(","))
    prefix = "".join(parts)
    return prefix if _PREFIX.fullmatch(prefix) else ""
