"""The audit of the locked packages, with the real pip-audit and a database of the test."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.support.ports import free_port
from tests.support.tables import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(300)]

VULNERABILITY = "PYSEC-2026-1"


class Database(ThreadingHTTPServer):
    """Answers as OSV does: a package has a vulnerability, or `{}`."""

    def __init__(self, vulnerable: str | None, status: int = 200) -> None:
        super().__init__(("127.0.0.1", free_port()), _Handler)
        self.vulnerable = vulnerable
        self.status = status
        self.asked: set[str] = set()

    @property
    def url(self) -> str:
        """Address of the query."""
        return f"http://127.0.0.1:{self.server_port}/v1/query"


class _Handler(BaseHTTPRequestHandler):
    server: Database

    def do_POST(self) -> None:
        """Answer a query."""
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        package = query["package"]
        self.server.asked.add(f"{package['name']}=={query['version']}")
        found: dict[str, Any] = {}
        if package["name"] == self.server.vulnerable:
            affected = [{"package": package}]
            found = {"vulns": [{"id": VULNERABILITY, "summary": "made up", "affected": affected}]}
        body = json.dumps(found).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep silent."""


@contextmanager
def database(vulnerable: str | None = None, status: int = 200) -> Iterator[Database]:
    with Database(vulnerable, status) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def audit(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "deploy" / "audit.py", "--osv-url", url, *options],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip


def test_every_locked_package_is_asked_for() -> None:
    with database() as server:
        done = audit(server.url)
    assert done.returncode == 0, done.stderr
    locked = (ROOT / "constraints.txt").read_text().lower().replace("_", "-").split()
    assert {line.replace(".py==", "-py==") for line in locked} <= server.asked


def test_a_found_vulnerability_is_a_failure() -> None:
    with database("pillow") as server:
        done = audit(server.url)
        assert done.returncode == 1, done.stderr
        assert VULNERABILITY in done.stdout
        assert audit(server.url, f"--ignore-vuln={VULNERABILITY}").returncode == 0


def test_a_database_out_of_reach_is_neither() -> None:
    done = audit(f"http://127.0.0.1:{free_port()}/v1/query")
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("not audited: ")
    assert done.stdout.count("\n") == 1
    with database("pillow", status=503) as server:
        assert audit(server.url).returncode == 3
