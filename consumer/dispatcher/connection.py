"""Connections of webhooks: an answer that has arrived is read, whatever becomes of the request."""

import socket
from collections.abc import Iterable
from typing import Any

from aiohappyeyeballs import AddrInfoType
from aiohttp import TCPConnector


class PatientSocket(socket.socket):
    """A socket that reports a broken connection to who reads, and not to who writes.

    A receiver may answer before it has read the request (401, 413, 429), and close. Its system then
    resets the connection, so that the next write fails, while the answer waits to be read: event
    loops close a transport whose write has failed, with all that it has not read. Here such a write
    succeeds, and the transport ends when reading has come to the answer's end, or to the reset.

    Only asyncio's own event loop writes through this object; uvloop writes past it.
    """

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send as usual; to a connection that was closed, all of it to nowhere."""
        try:
            return super().send(data, flags)
        except (BrokenPipeError, ConnectionResetError):
            return memoryview(data).nbytes

    def sendmsg(self, buffers: Iterable[Any], /, *args: Any) -> int:
        """The same for several buffers."""
        held = list(buffers)
        try:
            return super().sendmsg(held, *args)
        except (BrokenPipeError, ConnectionResetError):
            return sum(memoryview(buffer).nbytes for buffer in held)


def open_connector() -> TCPConnector:
    """A connector whose connections serve one request each.

    A connection that the receiver closes just as it is reused would fail a POST that nobody may
    repeat silently.
    """
    return TCPConnector(limit=0, force_close=True, socket_factory=_socket)


def _socket(address: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    return PatientSocket(family, kind, protocol)
