"""The embedded server's port and configuration."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from cli import embedded
from cli.embedded import RunSettings


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_with_a_listener_is_not_free(taken_port: int) -> None:
    assert not embedded.port_is_free(taken_port)
    assert embedded.port_is_free(embedded.free_port())


def test_the_port_of_the_last_run_is_kept_while_it_is_free(tmp_path: Path, taken_port: int) -> None:
    port = embedded.choose_port(tmp_path, configured=0)
    assert embedded.choose_port(tmp_path, configured=0) == port == embedded.noted_port(tmp_path)
    (tmp_path / "port").write_text(f"{taken_port}\n")
    assert embedded.choose_port(tmp_path, configured=0) != taken_port


@pytest.mark.parametrize("garbage", ["", "no number", "-1", "99999999"])
def test_a_damaged_port_file_is_no_obstacle(tmp_path: Path, garbage: str) -> None:
    (tmp_path / "port").write_text(garbage)
    assert embedded.noted_port(tmp_path) is None
    assert 0 < embedded.choose_port(tmp_path, configured=0) < 65536


def test_a_configured_port_wins(tmp_path: Path) -> None:
    embedded.choose_port(tmp_path, configured=0)
    assert embedded.choose_port(tmp_path, configured=20_000) == 20_000


@pytest.mark.integration
def test_what_was_written_survives_a_killed_server(tmp_path: Path) -> None:
    folder = tmp_path / 'a "quoted" folder with blanks'
    port = embedded.choose_port(folder, configured=0)
    for expected in (None, b"kept"):
        process = subprocess.Popen(embedded.command(folder, port))
        try:
            with Redis(port=port) as client:
                _wait_for(client)
                assert client.get("key") == expected
                assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
                client.set("key", "kept")
        finally:
            process.kill()
            process.wait()
    assert (folder / "valkey.log").exists()


def _wait_for(client: Redis) -> None:
    for _ in range(100):
        try:
            client.ping()
            return
        except RedisConnectionError:  # not listening yet, or reading its log
            time.sleep(0.05)
    raise AssertionError("the server does not answer")


@pytest.mark.parametrize(
    ("name", "value"),
    [("REDIS_HOST", "elsewhere"), ("REDIS_URL", "redis://elsewhere"), ("REDIS_PORT", "6390")],
)
def test_a_named_server_is_used_instead(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for variable in ("REDIS_HOST", "REDIS_URL", "REDIS_PORT"):
        monkeypatch.delenv(variable, raising=False)
    assert not RunSettings.load().names_redis
    (tmp_path / ".env").write_text(f"{name}={value}\n")
    assert RunSettings.load().names_redis
    (tmp_path / ".env").unlink()
    monkeypatch.setenv(name, value)
    assert RunSettings.load().names_redis
    monkeypatch.setenv(name, "")
    assert not RunSettings.load().names_redis


def test_the_usual_port_alone_names_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("REDIS_HOST", "REDIS_URL"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("REDIS_PORT", "6379")
    assert not RunSettings.load().names_redis
