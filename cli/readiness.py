"""Asking the producer whether it takes tasks."""

import asyncio
import json
import time
from collections.abc import Callable

import aiohttp

from schemas.settings.addresses import in_url

_UNSPECIFIED = ("0.0.0.0", "::", "")
_REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=5)


class ReadinessProbe:
    """`GET /ready` on this machine; never through a proxy."""

    def __init__(self, host: str, port: int) -> None:
        host = "localhost" if host in _UNSPECIFIED else host
        self.url = f"http://{in_url(host)}:{port}"
        """Address for a browser."""

    async def reason_not_ready(self) -> str | None:
        """Return one line that says what is missing; None when ready."""
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
        return f"/ready says {response.status}: {_detail(body)}"


async def wait_until_ready(
    probe: ReadinessProbe,
    report: Callable[[str], None],
    *,
    poll: float = 0.25,
    first_notice: float = 10.0,
    max_notice: float = 300.0,
) -> None:
    """Wait until the producer takes tasks; report what is missing, less and less often.

    There is no limit: a full backlog may take hours, and a server may return at any time.

    Args:
        poll: seconds between two requests.
        first_notice: seconds until the first report; the time to the next one doubles up to
            ``max_notice``.
    """
    interval, notice_at = first_notice, time.monotonic() + first_notice
    while (reason := await probe.reason_not_ready()) is not None:
        now = time.monotonic()
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
