"""What the operator reads while the producer is not ready."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cli.readiness import ReadinessProbe
from tests.support.ports import free_port


@contextmanager
def answering(status: int, body: bytes) -> Iterator[ReadinessProbe]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/ready" else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield ReadinessProbe("127.0.0.1", server.server_port)
        server.shutdown()
        thread.join()


def test_ready() -> None:
    with answering(200, b"{}") as probe:
        assert probe.reason_not_ready() is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"detail": "Redis is away"}', "Redis is away"),
        (b"plain\ntext", "plain text"),
        (b"[1]", "[1]"),
        (b"", "no reason given"),
    ],
)
def test_the_producers_own_reason_is_passed_on(body: bytes, said: str) -> None:
    with answering(503, body) as probe:
        assert probe.reason_not_ready() == f"/ready says 503: {said}"


def test_nobody_listens() -> None:
    probe = ReadinessProbe("127.0.0.1", free_port())
    assert probe.reason_not_ready() == "the producer does not answer yet"


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with answering(200, b"{}") as probe:
        assert probe.reason_not_ready() is None


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
