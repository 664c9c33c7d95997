"""`plate-detect run`: what it refuses before it starts, what it restarts, and how it stops."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest
import requests
from typer.testing import CliRunner

from cli import runner
from cli.launcher import LaunchError, ManagedProcess
from cli.main import app
from cli.readiness import ReadinessProbe
from cli.runner import Plan, keep_running, metrics_ports
from tests.support.ports import NEEDS_IPV6, free_port
from tests.support.service import ROOT, wait_until

# --- What is refused before anything starts


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


def test_metrics_ports_beyond_the_last(folder: Path) -> None:
    assert refusal(METRICS_PORT="65535").startswith("METRICS_PORT=65535 is too high: ")


def test_a_file_in_the_place_of_the_folder(folder: Path) -> None:
    (folder / "var").touch()
    assert refusal() == f"{folder}/var cannot be made a folder: File exists"


def test_a_folder_that_cannot_be_used(folder: Path) -> None:
    (folder / "var" / "run.lock").mkdir(parents=True)
    assert refusal().endswith(f"Is a directory: '{folder}/var/run.lock'")


def test_each_consumer_has_a_metrics_port_of_its_own() -> None:
    assert metrics_ports(3, 9101, taken=set()) == {
        "worker": 9101, "dispatcher": 9102, "worker-2": 9103, "worker-3": 9104,
    }  # fmt: skip
    assert list(metrics_ports(2, 9101, taken={9101, 9103}).values()) == [9102, 9104, 9105]
    assert list(metrics_ports(2, 0, taken=set()).values()) == [0, 0, 0]


# --- Keeping processes running, with shell scripts in their place


def script(name: str, folder: Path, on_stop: str) -> ManagedProcess:
    """A process that runs until it is asked to end."""
    text = f"trap '{on_stop}' TERM; echo up; while :; do sleep 0.01; done"
    return ManagedProcess(name, ["sh", "-c", text], folder=folder, log=folder / f"{name}.log")


def plan(server: ManagedProcess, *roles: ManagedProcess) -> Plan:
    return Plan(server, list(roles), ReadinessProbe("127.0.0.1", free_port()), stop_seconds=60)


@contextlib.asynccontextmanager
async def kept_running(
    folder: Path,
    stop: asyncio.Event,
    kill: asyncio.Event,
    server: ManagedProcess,
    *roles: ManagedProcess,
) -> AsyncIterator[asyncio.Task[None]]:
    keeping = asyncio.create_task(keep_running(plan(server, *roles), stop, kill))
    logs = [folder / f"{process.name}.log" for process in (server, *roles)]
    async with asyncio.timeout(30):
        while not all(log.exists() and "up" in log.read_text() for log in logs):
            await asyncio.sleep(0.01)
    async with asyncio.timeout(30):
        yield keeping


async def test_the_server_is_stopped_when_the_roles_have_ended(tmp_path: Path) -> None:
    server = script("redis", tmp_path, "echo redis >> order; exit 0")
    roles = [
        script(name, tmp_path, "sleep 0.1; echo role >> order; exit 0")
        for name in ("producer", "worker")
    ]
    stop = asyncio.Event()
    async with kept_running(tmp_path, stop, asyncio.Event(), server, *roles) as keeping:
        stop.set()
        await keeping
    assert (tmp_path / "order").read_text().split() == ["role", "role", "redis"]


async def test_processes_that_do_not_stop_are_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, role = script("redis", tmp_path, "exit 0"), script("worker", tmp_path, "")
    stop, kill = asyncio.Event(), asyncio.Event()
    async with kept_running(tmp_path, stop, kill, server, role) as keeping:
        stop.set()
        while "stopping" not in capsys.readouterr().out:
            await asyncio.sleep(0.01)
        kill.set()
        await keeping
    assert (server.status, role.status) == (-signal.SIGKILL, -signal.SIGKILL)


TWO_SIGNALS = """
import asyncio
from cli.launcher import ManagedProcess
from cli.readiness import ReadinessProbe
from cli.runner import Plan, run_until_signal
role = ManagedProcess("worker", ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.01; done"])
plan = Plan(None, [role], ReadinessProbe("127.0.0.1", 9), stop_seconds=60)
asyncio.run(run_until_signal(plan))
print("role:", role.status, flush=True)
"""


def test_the_first_signal_stops_and_the_second_kills() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TWO_SIGNALS], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline().startswith("plate-detect: stopping")
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == f"role: {-signal.SIGKILL}\n"


async def test_a_role_that_cannot_start_stops_everything(tmp_path: Path) -> None:
    server = script("redis", tmp_path, "echo redis >> order; exit 0")
    role = ManagedProcess("worker", ["sh", "-c", "until grep -q up redis.log; do :; done; exit 2"],
                          folder=tmp_path)  # fmt: skip
    with pytest.raises(LaunchError, match=r"^worker cannot start"):
        await keep_running(plan(server, role), asyncio.Event(), asyncio.Event())
    assert server.status == 0


def test_only_one_runs_in_a_folder(tmp_path: Path) -> None:
    lock = tmp_path / "run.lock"
    with (
        runner.locked(lock),
        pytest.raises(LaunchError, match="already running"),
        runner.locked(lock),
    ):
        pass


# --- The real roles


class Run:
    """One `plate-detect run` in a folder of its own, its output at hand."""

    def __init__(self, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        self.output = ""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("REDIS_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cli", "run"],
            cwd=folder,
            env={
                **inherited, "PYTHONPATH": str(ROOT), "HOST": "127.0.0.1", "PORT": str(port),
                "METRICS_PORT": "0",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def expect(self, text: str) -> None:
        wait_until(lambda: text in self.output or self.process.poll() is not None, 60, text)
        assert text in self.output, self.output

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def member(self, command: str) -> psutil.Process | None:
        """The process with this in its command line; a dead one has none any more."""
        for process in self.family():
            with contextlib.suppress(psutil.NoSuchProcess):
                if command in " ".join(process.cmdline()):
                    return process
        return None

    def kill(self, command: str) -> None:
        """Kill a member, and wait until it has been started again."""
        found = self.member(command)
        assert found is not None
        found.kill()

        def is_back() -> bool:
            member = self.member(command)
            return member is not None and member.pid != found.pid

        wait_until(is_back, 60, f"a new {command}")

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def close(self) -> int:
        status = self.process.wait(timeout=60)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    folder = tmp_path / "one #1; 100% 'mine' %(here)s"
    folder.mkdir()
    started = Run(folder)
    started.expect(f"plate-detect: ready: {started.url}  (Ctrl-C stops it)")
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.close()


def assert_all_gone(family: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.acceptance
@pytest.mark.timeout(180)
def test_it_heals_and_ctrl_c_stops_everything(run: Run) -> None:
    for command in ("-m producer", "valkey-server", "-m consumer worker"):
        run.kill(command)
    wait_until(run.is_ready, 60, "/ready")
    assert "plate-detect: worker was killed by SIGKILL; starting it again in " in run.output
    assert '"role": "dispatcher"' in run.output
    family = run.family()
    os.killpg(run.process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    assert run.close() == 0, run.output
    assert_all_gone(family)


@pytest.mark.acceptance
@pytest.mark.timeout(180)
@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_killed_command_leaves_no_process(run: Run) -> None:
    family = run.family()
    assert len(family) == 4
    run.process.kill()
    run.close()
    assert_all_gone(family)
