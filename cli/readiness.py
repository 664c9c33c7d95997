"""Asking the producer whether it takes tasks."""

import asyncio
import json
import time
from collections.abc import Callable

import aiohttp

from cli.launcher import LaunchError
from schemas.settings.addresses import in_url

_FULL = "the backlog is full"  # the producer's words
_UNSPECIFIED = ("0.0.0.0", "::", "")
_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=5)


class ReadinessProbe:
    """`GET /ready` on this machine; never through a proxy."""

    def __init__(self, host: str, port: int) -> None:
        host = "localhost" if host in _UNSPECIFIED else host
        self.url = f"http://{in_url(host)}:{port}"
        """Address for a browser."""
        self.is_full = False
        """Whether, by the last response, nothing is missing but room in the backlog."""

    async def reason_not_ready(self) -> str | None:
        """Return one line that says what is missing; None when ready."""
        self.is_full = False
        try:
            async with (
                aiohttp.ClientSession(timeout=_REQUEST_TIMEOUT) as session,
                session.get(f"{self.url}/ready") as response,
            ):
                body = await response.content.read(10_000)
        except (aiohttp.ClientConnectionError, TimeoutError):
            return "the producer does not respond yet"
        except aiohttp.ClientError as error:
            return f"the producer's response is not HTTP: {error!r}"
        if response.status == 200:
            return None
        detail = _detail(body)
        self.is_full = detail == _FULL
        return f"/ready says {response.status}: {detail}"


async def wait_until_ready(
    probe: ReadinessProbe,
    report: Callable[[str], None],
    *,
    max_seconds: float = 180.0,
    poll: float = 0.25,
    first_notice: float = 10.0,
    max_notice: float = 300.0,
) -> None:
    """Wait until the producer takes tasks; report what is missing, less and less often.

    A full backlog may take hours, and is no reason to stop: the workers make room.

    Args:
        max_seconds: how long something else may be missing.
        poll: seconds between two requests.
        first_notice: seconds until the first report; the time to the next one doubles up to
            ``max_notice``.

    Raises:
        LaunchError: something was missing for too long.
    """
    healthy_at = time.monotonic()
    interval, notice_at = first_notice, healthy_at + first_notice
    while (reason := await probe.reason_not_ready()) is not None:
        now = time.monotonic()
        if probe.is_full:
            healthy_at = now
        elif now > healthy_at + max_seconds:
            raise LaunchError(f"not ready after {max_seconds:g} s: {reason}")
        if now > notice_at:
            report(f"not ready yet: {reason}")
            interval = min(2 * interval, max_notice)
            notice_at = now + interval
        await asyncio.sleep(poll)


def _detail(body: bytes) -> str:
    text = body.decode(errors="replace").strip()
    try:
        return str(json.loads(text)["detail"])
    except (ValueError, TypeError, KeyError):
        return " ".join(text.split())[:200] or "no reason given"
