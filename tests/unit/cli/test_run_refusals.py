"""What `plate-detect run` refuses before it starts anything."""

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.support.ports import NEEDS_IPV6, free_port


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(**settings: str) -> str:
    """Run with settings that cannot work; return the one line that says why."""
    environment = {"HOST": "127.0.0.1", "PORT": str(free_port()), **settings}
    refused = CliRunner().invoke(app, ["run"], env=environment)
    assert refused.exit_code == 1
    assert refused.stdout == ""
    [line] = refused.stderr.splitlines()
    assert line.startswith("plate-detect: ")
    return line.removeprefix("plate-detect: ")


def test_a_taken_port(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert refusal(PORT=str(port)).startswith(f"port {port} is taken")
        assert refusal(EMBEDDED_REDIS_PORT=str(port)) == f"EMBEDDED_REDIS_PORT={port} is taken"


@NEEDS_IPV6
@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_port_that_is_taken_in_one_family(family: socket.AddressFamily, folder: Path) -> None:
    address = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    with socket.create_server((address, free_port()), family=family) as listener:
        port = listener.getsockname()[1]
        assert refusal(PORT=str(port), HOST="::").startswith(f"port {port} is taken")


def test_an_address_of_another_machine(folder: Path) -> None:
    assert refusal(HOST="192.0.2.1").startswith("cannot listen on HOST:PORT = 192.0.2.1:")


def test_a_wrong_setting_of_any_role(folder: Path) -> None:
    (folder / ".env").write_text("COVER_PADDING=lots\n")
    assert refusal().startswith("COVER_PADDING='lots': ")


@pytest.mark.parametrize("name", ["COVER_IMAGE_PATH", "MODEL_PATH"])
def test_a_missing_file(name: str, folder: Path) -> None:
    (folder / ".env").write_text(f"{name}=/nowhere/file\n")
    assert refusal().startswith(f"{name}=/nowhere/file: ")


def test_a_file_in_the_place_of_the_folder(folder: Path) -> None:
    (folder / "var").touch()
    assert refusal().endswith(f"File exists: '{folder}/var'")


def test_a_folder_that_cannot_be_used(folder: Path) -> None:
    (folder / "var" / "run.lock").mkdir(parents=True)
    assert refusal().endswith(f"Is a directory: '{folder}/var/run.lock'")
