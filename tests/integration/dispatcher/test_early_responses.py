"""Receivers that respond before they have read the request: the response counts, not the reset."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import consumer.__main__ as consumer
from consumer.dispatcher.connections import ResponseKeepingSocket
from consumer.dispatcher.webhook import DeliveryKind, DeliveryState
from tests.integration.dispatcher.posting import post
from tests.support.certificates import make_certificates

pytestmark = pytest.mark.integration

LARGE = {"covered_0.webp": bytes(5_000_000), "covered_1.webp": bytes(3_000_000)}
REPEATS = 12
"""In most posts, not in all, a write fails before the response is read."""


def close(connection: socket.socket) -> None:
    """Leave the rest unread, so that the system resets the connection."""
    connection.close()


def reset(connection: socket.socket) -> None:
    """Reset it, whatever was read."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def read_on(connection: socket.socket) -> None:
    """Read the rest before closing, as nginx does, so that nothing is reset."""
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(1 << 16):
        pass
    connection.close()


def responding(
    status: str, end: Callable[[socket.socket], None], tls: ssl.SSLContext | None, read: int
) -> Callable[[socket.socket], None]:
    """Respond after so many bytes of the body, then end the connection."""
    response = f"HTTP/1.1 {status}\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno".encode()

    def serve(connection: socket.socket) -> None:
        connection.settimeout(10)
        # Held back for an acknowledgement, a response would be lost in the sender's own system.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            connection = tls.wrap_socket(connection, server_side=True)
        received = b""
        while b"\r\n\r\n" not in received or len(received) < read:
            received += connection.recv(1 << 16)
        connection.sendall(response)
        end(connection)

    return serve


@contextmanager
def serving(serve: Callable[[socket.socket], None], times: int) -> Iterator[int]:
    """A raw server on loopback for so many connections, on a thread of its own; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def run() -> None:
            for _ in range(times):
                serve(listener.accept()[0])

        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(20)


@pytest.mark.parametrize("end", [close, reset, read_on])
@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("401 Unauthorized", DeliveryState.DUE),
        ("410 Gone", DeliveryState.DEAD),
        ("413 Content Too Large", DeliveryState.DUE),
        ("429 Too Many Requests", DeliveryState.DUE),
        ("200 OK", DeliveryState.DELIVERED),
    ],
)
async def test_a_response_before_the_body_was_read_counts(
    tmp_path: Path, status: str, state: DeliveryState, end: Callable[[socket.socket], None]
) -> None:
    with serving(responding(status, end, None, read=0), REPEATS) as port:
        for _ in range(REPEATS):
            got = await post(f"http://127.0.0.1:{port}/", tmp_path, LARGE)
            assert (got.state, got.reason) == (state, f"status {status[:3]}")
            assert got.retry_after_seconds == (7 if state is DeliveryState.DUE else None)


@pytest.mark.parametrize("read", [200_000, 2_000_000])
async def test_a_response_in_the_middle_of_the_body_counts(tmp_path: Path, read: int) -> None:
    with serving(responding("503 Busy", close, None, read), REPEATS) as port:
        for _ in range(REPEATS):
            got = await post(f"http://127.0.0.1:{port}/", tmp_path, LARGE)
            assert (got.reason, got.retry_after_seconds) == ("status 503", 7)


async def test_an_early_response_to_a_callback_counts(tmp_path: Path) -> None:
    many = {f"covered_{index}_{'x' * 150}.webp": b"" for index in range(1000)}
    with serving(responding("429 Slow Down", close, None, read=0), REPEATS) as port:
        for _ in range(REPEATS):
            got = await post(
                f"http://127.0.0.1:{port}/", tmp_path, many, kind=DeliveryKind.CALLBACK
            )
            assert (got.reason, got.retry_after_seconds) == ("status 429", 7)


@pytest.mark.parametrize("end", [close, reset])
async def test_an_early_response_over_tls_counts(
    tmp_path: Path, end: Callable[[socket.socket], None]
) -> None:
    files = make_certificates(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.server, files.server_key)
    trusting = ssl.create_default_context(cafile=files.ca)
    with serving(responding("401 Who?", end, tls, read=0), REPEATS) as port:
        for _ in range(REPEATS):
            got = await post(
                f"https://localhost:{port}/", tmp_path / "storage", LARGE, tls=trusting
            )
            assert got.reason == "status 401"


@pytest.mark.parametrize("end", [close, reset])
async def test_a_connection_that_ends_without_a_response_fails_at_once(
    tmp_path: Path, end: Callable[[socket.socket], None]
) -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(1)
        end(connection)

    with serving(serve, REPEATS) as port:
        for _ in range(REPEATS):
            async with asyncio.timeout(5):
                got = await post(f"http://127.0.0.1:{port}/", tmp_path, LARGE)
            assert got.state is DeliveryState.DUE
            assert got.reason in ("ClientOSError", "ServerDisconnectedError")


def test_writes_to_a_closed_connection_are_dropped_and_what_arrived_is_read() -> None:
    near, far = socket.socketpair()
    with ResponseKeepingSocket(fileno=near.detach()) as kept:
        far.sendall(b"response")
        far.close()
        assert kept.send(bytes(10)) == 10
        assert kept.sendmsg(iter([bytes(10), memoryview(bytes(5))])) == 15
        assert kept.recv(100) == b"response"
        assert kept.recv(100) == b""


def test_the_dispatcher_runs_on_the_event_loop_that_keeps_responses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loops = []

    async def dispatcher(_: object) -> None:
        loops.append(asyncio.get_running_loop())

    monkeypatch.setattr(consumer, "dispatcher", dispatcher)
    monkeypatch.setattr("sys.argv", ["consumer", "dispatcher"])
    assert consumer.main() == 0
    assert isinstance(loops[0], asyncio.SelectorEventLoop)
