"""A Docker engine for tests: the one that answers, or one started for the length of the tests."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support.programs import find_program, needed_program, skip_without

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0


class Engine:
    """A Docker engine that answers.

    Args:
        environment: with which `docker` and Docker Compose reach it, and build with BuildKit.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)

    def docker(self, *arguments: str, timeout: float = 60, text: str = "") -> str:
        """Run `docker` with ``text`` as its input; return what it prints.

        Raises AssertionError, with all of its output, if it fails.
        """
        done = subprocess.run(
            ["docker", *arguments],
            env=self.environment, input=text, capture_output=True, text=True, timeout=timeout,
            check=False,
        )  # fmt: skip
        assert not done.returncode, f"docker {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()


@contextlib.contextmanager
def running_engine() -> Iterator[Engine]:
    """Return the engine that answers, or start one in a folder that is deleted afterwards.

    Skips the test where none can be had.
    """
    environment = _client_environment()
    if _answers(environment):
        yield Engine(environment)
        return
    if os.geteuid():
        pytest.skip("no Docker engine answers, and only root can start one")
    program = needed_program("dockerd")
    # A socket's path has a limit of about 100 bytes, so the folder lies in none of pytest's.
    folder = Path(tempfile.mkdtemp(prefix="dockerd-"))
    try:
        with _started(program, folder, environment) as engine:
            yield engine
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _started(program: str, folder: Path, environment: dict[str, str]) -> Iterator[Engine]:
    socket, log = f"unix://{folder}/socket", folder / "log"
    had_bridge = _bridge_exists()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                program, "--host", socket, "--pidfile", str(folder / "pid"),
                "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"),
                # The machine's packet filter is left as it is. Builds use the host's network, and
                # containers have no other network to reach than their own.
                "--iptables=false", "--ip6tables=false",
            ],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        engine = Engine({**environment, "DOCKER_HOST": socket})
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(engine.environment):
            if process.poll() is not None or time.monotonic() > deadline:
                lines = log.read_text(errors="replace").splitlines() or ["no output"]
                pytest.skip(f"no Docker engine answers, and dockerd does not start: {lines[-1]}")
            time.sleep(0.2)
        yield engine
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if not had_bridge and _bridge_exists() and (ip := find_program("ip")):
            subprocess.run([ip, "link", "delete", "docker0"], check=False)


def _bridge_exists() -> bool:
    return Path("/sys/class/net/docker0").exists()


def _answers(environment: Mapping[str, str]) -> bool:
    asked = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"],
        env=environment, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    return not asked.returncode


def _client_environment() -> dict[str, str]:
    """Return the environment in which `docker` is a client that can build with BuildKit.

    There may be several clients, and one without its part for BuildKit may come first.
    """
    environment = {**os.environ, "DOCKER_BUILDKIT": "1", "COMPOSE_DOCKER_CLI_BUILD": "1"}
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    for folder in folders:
        environment["PATH"] = os.pathsep.join((folder, *folders))
        if shutil.which("docker", path=folder) and _has_buildkit(environment):
            break
    else:
        skip_without("no `docker` that can build with BuildKit is installed")
    return environment


def _has_buildkit(environment: Mapping[str, str]) -> bool:
    asked = subprocess.run(
        ["docker", "build", "--help"],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return "--secret" in asked.stdout


def compose_command() -> list[str]:
    """Return the command of Docker Compose: the plugin of docker, or the program of its own."""
    if find_program("docker-compose"):
        return ["docker-compose"]
    plugin = ["docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*plugin, "version"], check=False).returncode:
        skip_without("Docker Compose is not installed")
    return plugin
