"""The roles on one host, with one `.env`."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.service import wait_until

PROJECT = Path(__file__).resolve().parents[2]


@contextmanager
def role(name: str, folder: Path, number: int) -> Iterator[Path]:
    """One process of a role, once it is ready; gives its log."""
    log = folder / f"{number}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "consumer", name],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(PROJECT), "LOG_FORMAT": "json"},
            stdout=output,
            stderr=output,
        )
    try:
        ready = f"{name} ready"
        wait_until(lambda: ready in log.read_text() or process.poll() is not None, 60, ready)
        assert process.poll() is None, log.read_text()
        yield log
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.mark.integration
def test_a_shared_dotenv_lets_all_processes_of_a_host_start(
    tmp_path: Path, redis_server: str
) -> None:
    first = free_port()
    (tmp_path / ".env").write_text(
        f"METRICS_PORT={first}\nREDIS_URL={redis_server}\nMODEL_PATH=stand-in:1\n"
    )
    names = ("worker", "worker", "dispatcher", "dispatcher")
    with ExitStack() as stack:
        logs = [
            stack.enter_context(role(name, tmp_path, number)) for number, name in enumerate(names)
        ]
        ports = [
            json.loads(line)["port"]
            for log in logs
            for line in log.read_text().splitlines()
            if "metrics on port" in line
        ]
    assert ports[0] == first
    assert ports == sorted(set(ports))
    assert len(ports) == len(names)
