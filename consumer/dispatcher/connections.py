"""Connections to the receivers of webhooks: one for each request."""

import socket
import ssl
from collections.abc import Iterable
from typing import Any

from aiohttp import ClientSession, DummyCookieJar, TCPConnector


class ResponseKeepingSocket(socket.socket):
    """A socket that reports a broken connection to its reader, not to its writer.

    A receiver may respond before it has read the request (401, 413, 429) and close. Its system then
    resets the connection, so the next write fails while the response waits to be read. Event loops
    close a transport whose write has failed, and lose what it has not read. Here such a write
    succeeds, and the transport ends when reading has reached the end of the response or the reset.

    Only asyncio's own event loop writes through this object; uvloop uses the file descriptor.
    """

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send as usual; drop everything if the connection is closed."""
        try:
            return super().send(data, flags)
        except (BrokenPipeError, ConnectionResetError):
            return memoryview(data).nbytes

    def sendmsg(self, buffers: Iterable[Any], /, *args: Any) -> int:
        """Do the same for several buffers."""
        held = list(buffers)
        try:
            return super().sendmsg(held, *args)
        except (BrokenPipeError, ConnectionResetError):
            return sum(memoryview(buffer).nbytes for buffer in held)


def open_session(*, tls: ssl.SSLContext | bool = True) -> ClientSession:
    """Return a session that adds no cookies, and no settings from the environment.

    Each of its connections serves one request: a receiver may close a connection just as it is
    reused, which would fail a POST that must not be repeated silently.

    Args:
        tls: for receivers with HTTPS; by default with the certificates of the system.
    """
    return ClientSession(
        connector=TCPConnector(
            ssl=tls,
            limit=0,
            force_close=True,
            socket_factory=lambda address: ResponseKeepingSocket(*address[:3]),
        ),
        cookie_jar=DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers={"User-Agent": "plate-detect"},
    )
