"""The roles on one host, with one `.env`."""

import json
import os
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.service import ROOT, Role, wait_until


@pytest.mark.integration
def test_a_shared_dotenv_lets_all_processes_of_a_host_start(
    tmp_path: Path, redis_server: str
) -> None:
    first = free_port()
    (tmp_path / ".env").write_text(f"METRICS_PORT={first}\nREDIS_URL={redis_server}\n")
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "LOG_FORMAT": "json", "MODEL_PATH": "stand-in:1",
    }  # fmt: skip
    names = ("worker", "worker-2", "dispatcher")
    roles = [Role(name, environment, tmp_path) for name in names]
    try:
        for role in roles:
            role.start()
            ready = f"{role.name.partition('-')[0]} ready"
            wait_until(lambda r=role, line=ready: line in r.log or not r.is_running, 60, ready)
            assert role.is_running, role.log
        assert [role.terminate() for role in roles] == [0, 0, 0]
    finally:
        for role in roles:
            if role.process.is_running:
                role.kill()
    lines = [json.loads(line) for role in roles for line in role.log.splitlines()]
    ports = [line["port"] for line in lines if line["event"] == "metrics on port"]
    assert ports[0] == first
    assert ports == sorted(set(ports))
    assert len(ports) == len(names)
