"""The running producer against its own OpenAPI document, by schemathesis."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.redis_server import RedisServer
from tests.support.service import running

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(300)]

KEY = "a-key-of-the-test-0123456789"
TIMEOUT_SECONDS = 240.0


def test_every_response_is_documented(own_redis: RedisServer, tmp_path: Path) -> None:
    """Send generated requests, valid and invalid, of every operation, and sequences of them."""
    with running(
        own_redis.url, tmp_path, "worker", "producer", MODEL_PATH="stand-in:0", API_KEYS=KEY,
        UPLOAD_IDLE_TIMEOUT_SECONDS="5",
    ) as service:  # fmt: skip
        run = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli",
                "--config-file", str(Path(__file__).with_name("schemathesis.toml")), "--no-color",
                "run", f"{service.url}/openapi.json", "--header", f"X-API-Key: {KEY}",
                "--generation-deterministic", "--max-examples", "25", "--request-timeout", "10",
            ],
            cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stdout[-20_000:] + run.stderr
        assert re.search(r"Operations: +11 selected / 11 total", run.stdout)
        log = service.roles["producer"].log
        assert '"exception"' not in log, log
        assert KEY not in log
