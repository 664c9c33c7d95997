"""How long `plate-detect run` waits for its producer, and what it says meanwhile."""

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli import runner
from cli.runner import Plan, RunError
from tests.support.ports import free_port

FULL = "the backlog is full"


@pytest.fixture
def supervisor() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stays up until its input ends."""
    waiting = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE) as process:
        yield process


@contextmanager
def unready_for(questions: int, why: str) -> Iterator[int]:
    """The port of a producer that is not ready at first."""
    left = questions

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal left
            left -= 1
            self.send_response(503 if left >= 0 else 200)
            self.end_headers()
            self.wfile.write(json.dumps({"detail": why}).encode())

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def wait(port: int, supervisor: subprocess.Popen[bytes]) -> None:
    plan = Plan(Path(), {}, ("127.0.0.1", port), 1)
    runner._wait_until_ready(plan, supervisor, threading.Event())


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (
        ("READY_TIMEOUT_SECONDS", 0.2), ("NOTICE_SECONDS", 0.05), ("MOST_NOTICE_SECONDS", 0.3),
        ("POLL_SECONDS", 0.01),
    ):  # fmt: skip
        monkeypatch.setattr(runner, name, seconds)


def test_a_producer_without_room_is_waited_for(
    impatient: None, supervisor: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    with unready_for(100, FULL) as port:
        wait(port, supervisor)
    *notices, last = capsys.readouterr().out.splitlines()
    assert last.startswith("plate-detect: ready: ")
    line = "plate-detect: not ready yet: /ready says 503: the backlog is full"
    assert set(notices) == {line}
    assert len(notices) < 20  # less and less often


def test_a_producer_that_never_answers_is_given_up(
    impatient: None, supervisor: subprocess.Popen[bytes]
) -> None:
    with pytest.raises(RunError, match=r"^not ready after 0\.2 s: the producer does not answer"):
        wait(free_port(), supervisor)


@pytest.mark.parametrize(
    "why", ["Redis cannot be reached", f"{FULL}; the storage cannot be written"]
)
def test_a_producer_that_misses_something_is_given_up(
    impatient: None, supervisor: subprocess.Popen[bytes], why: str
) -> None:
    with (
        unready_for(10_000, why) as port,
        pytest.raises(RunError, match=rf"^not ready after 0\.2 s: /ready says 503: {why}"),
    ):
        wait(port, supervisor)
