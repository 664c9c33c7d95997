"""`plate-detect run`: what it restarts, and how it stops."""

import asyncio
import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from cli import runner
from cli.launcher import LaunchError, ManagedProcess
from cli.readiness import ReadinessProbe
from cli.runner import Plan, keep_running
from tests.support.ports import free_port
from tests.support.run_command import Run
from tests.support.service import ROOT, wait_until

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


def test_each_role_has_its_own_metrics_port_in_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", str(free_port()))
    monkeypatch.setenv("METRICS_PORT", "9300")
    with runner.locked(tmp_path / "run.lock") as lock:
        roles = runner.make_plan(2, tmp_path, lock).roles
    ports = {role.name: (role.environment or {}).get("METRICS_PORT") for role in roles[1:]}
    assert ports == {"worker": "9300", "dispatcher": "9301", "worker-2": "9302"}


# --- The real roles


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
    run.interrupt()
    assert run.close() == 0, run.output
    assert_all_gone(family)


@pytest.mark.acceptance
@pytest.mark.timeout(180)
@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no prctl")
def test_a_killed_command_leaves_no_process(run: Run) -> None:
    family = run.family()
    assert len(family) == 4
    run.process.kill()
    run.close()
    assert_all_gone(family)
