"""What every command says of wrong settings when it starts, and that it starts without uvloop."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.support.service import Service, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PROJECT = Path(__file__).resolve().parents[2]
COMMANDS = (
    "producer", "consumer worker", "consumer dispatcher", "cli run", "cli dead-letters list",
    "cli deliveries list",
)  # fmt: skip
IN_FILE = ("# mine\nAPI_KEY=hunter2-hunter2-hunter2\n", {})


def ended(command: list[str], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "file", "variables"),
    [
        *((command, *IN_FILE) for command in COMMANDS),
        ("producer", "# mine\nAPI_KEYS: hunter2-hunter2-hunter2\n", {}),
        ("producer", "", {"API_KEY": "hunter2-hunter2-hunter2"}),
        ("consumer dispatcher", "", {"WEBHOOK_SECRETS": "whsec_hunter2"}),
    ],
)
def test_a_misspelt_secret_stops_every_command(
    command: str, file: str, variables: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(file)
    refused = ended(["-m", *command.split()], tmp_path, **variables)
    assert refused.returncode in (1, 2)
    said = refused.stdout + refused.stderr
    assert said.count("\n") == 1, said
    assert "hunter2" not in said
    if file:
        assert ".env line 2 " in said


@pytest.fixture
def service(redis_server: str, tmp_path: Path) -> Service:
    return Service(redis_server, tmp_path)


def test_another_misspelt_name_is_told_once_and_the_role_starts(
    service: Service, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("COVER_MODES=fill\nHOSTNAMES=x\n")
    try:
        service.start("producer")
        lines = [json.loads(line) for line in service.roles["producer"].log.splitlines()]
    finally:
        service.stop()
    [told] = [line for line in lines if line["event"] == "unknown settings"]
    assert told["reasons"] == [
        ".env line 1 sets COVER_MODES, which is not a setting; did you mean COVER_MODE?"
    ]


def test_every_role_does_without_uvloop(redis_server: str, tmp_path: Path) -> None:
    missing = tmp_path / "packages"
    missing.mkdir()
    (missing / "uvloop.py").write_text("raise ImportError('not built for this platform')\n")
    path = os.pathsep.join((str(missing), str(PROJECT)))
    service = Service(redis_server, tmp_path, MODEL_PATH="stand-in:1", PYTHONPATH=path)
    try:
        service.start("producer", "worker", "dispatcher")
        for name in ("worker", "dispatcher"):
            wait_until(
                lambda name=name: f"{name} ready" in service.roles[name].log,
                60,
                lambda: service.logs,
            )
        assert requests.get(f"{service.url}/ready", timeout=10).status_code == 200
        assert [role.terminate() for role in service.roles.values()] == [0, 0, 0]
    finally:
        service.stop()
