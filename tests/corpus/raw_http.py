"""A client that sends any bytes, also what is not HTTP."""

import contextlib
import json
import socket
import threading
from dataclasses import dataclass
from typing import Any

from tests.corpus.cases import RequestCase

_ANSWER_SECONDS = 20.0
_DRIP_SECONDS = 0.1


@dataclass(frozen=True)
class RawResponse:
    """What the server sent until it closed; ``body`` is None if it is not JSON."""

    status: int
    body: Any


def send_raw(port: int, request: RequestCase) -> RawResponse:
    """Send a request unchanged; return the response after the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), _ANSWER_SECONDS) as connection:
        answered = threading.Event()
        sender = threading.Thread(target=_send, args=(connection, request, answered))
        sender.start()
        received = _received(connection, answered)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        sender.join()
    return _parsed(received)


def _send(connection: socket.socket, request: RequestCase, answered: threading.Event) -> None:
    # A server may close after its response, before it has read everything.
    with contextlib.suppress(OSError):
        connection.sendall(request.sent)
        while request.drips and not answered.wait(_DRIP_SECONDS):
            connection.sendall(b"x")


def _received(connection: socket.socket, answered: threading.Event) -> bytes:
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65_536):
            received += piece
            answered.set()
    answered.set()
    return received


def _parsed(received: bytes) -> RawResponse:
    head, _, body = received.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.") else 0
    try:
        return RawResponse(status, json.loads(body))
    except ValueError:
        return RawResponse(status, None)
