"""What `plate-detect run` says of a producer that is not ready."""

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cli.readiness import ReadinessProbe, wait_until_ready
from tests.support.ports import NEEDS_IPV6, free_port

FULL = "the backlog is full"


@contextmanager
def producer(
    body: bytes, *, failures: float = 0, host: str = "127.0.0.1"
) -> Iterator[ReadinessProbe]:
    """A producer whose `/ready` fails so many times before it succeeds."""
    left = failures

    class Server(http.server.HTTPServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal left
            left -= 1
            self.send_response(404 if self.path != "/ready" else 503 if left >= 0 else 200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with Server((host, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield ReadinessProbe(host, server.server_port)
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", pytest.param("::1", marks=NEEDS_IPV6)])
async def test_ready_at_any_address(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # not used for this machine
    with producer(b"{}", host=host) as probe:
        assert await probe.reason_not_ready() is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"detail": "Redis is unavailable"}', "Redis is unavailable"),
        (b"plain\ntext", "plain text"),
        (b"[1]", "[1]"),
        (b"", "no reason given"),
    ],
)
async def test_the_producers_own_reason_is_passed_on(body: bytes, said: str) -> None:
    with producer(body, failures=1) as probe:
        assert await probe.reason_not_ready() == f"/ready says 503: {said}"


async def test_a_port_without_a_listener() -> None:
    probe = ReadinessProbe("127.0.0.1", free_port())
    assert await probe.reason_not_ready() == "the producer does not respond yet"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://localhost:8000"),
        ("::", "http://localhost:8000"),
        ("::1", "http://[::1]:8000"),
        ("10.0.0.7", "http://10.0.0.7:8000"),
    ],
)
def test_the_address_is_one_that_a_browser_can_open(host: str, url: str) -> None:
    assert ReadinessProbe(host, 8000).url == url


@pytest.mark.parametrize("why", [FULL, "Redis cannot be reached"])
async def test_a_producer_that_misses_something_is_waited_for(why: str) -> None:
    lines: list[str] = []
    with producer(json.dumps({"detail": why}).encode(), failures=100) as probe:
        await wait_until_ready(probe, lines.append, poll=0.01, first_notice=0.05, max_notice=0.3)
    assert set(lines) == {f"not ready yet: /ready says 503: {why}"}
    assert len(lines) < 20  # less and less often
