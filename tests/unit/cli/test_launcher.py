"""Processes of the launcher end with this one, and are started again with growing delays."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cli import guard
from cli.launcher import LaunchError, ManagedProcess, role_command
from schemas.retry import Backoff
from tests.support.service import ROOT, wait_until

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")

# Starts a sleeping process, prints its id, and waits.
PARENT = """
import asyncio
from cli.launcher import ManagedProcess

async def main():
    process = ManagedProcess("sleeper", ["sleep", "60"])
    await process.start()
    print(process.pid, flush=True)
    await process.wait()

asyncio.run(main())
"""


def shell(script: str, **options: Path) -> ManagedProcess:
    return ManagedProcess("role", ["sh", "-c", script], **options)  # type: ignore[arg-type]


def quick() -> Backoff:
    return Backoff(base=0.001, cap=0.001)


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("producer", ["-m", "producer"]),
        ("worker", ["-m", "consumer", "worker"]),
        ("worker-2", ["-m", "consumer", "worker"]),
        ("dispatcher", ["-m", "consumer", "dispatcher"]),
    ],
)
def test_each_role_has_its_command(name: str, arguments: list[str]) -> None:
    assert role_command(name) == [sys.executable, *arguments]


async def test_output_goes_to_the_log_and_the_status_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = shell("echo out; pwd; echo error >&2; exit 7", folder=tmp_path, log=log)
    assert not process.is_running
    await process.start()
    assert process.is_running
    assert await process.wait() == process.status == 7
    assert not process.is_running
    assert log.read_text().split() == ["out", str(tmp_path), "error"]


async def test_the_environment_is_the_one_that_is_given(tmp_path: Path) -> None:
    process = ManagedProcess(
        "role", ["/bin/sh", "-c", "echo $GIVEN"], environment={"GIVEN": "x"}, log=tmp_path / "log"
    )
    await process.start()
    assert await process.wait() == 0
    assert (tmp_path / "log").read_text() == "x\n"


@linux_only
def test_a_killed_parent_takes_the_process_along() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        try:
            wait_until(lambda: child.name() == "sleep", 20, "the guard to become the command")
        finally:
            parent.kill()
    wait_until(lambda: is_gone(child), 10, "the end of the process")


def test_a_command_does_not_start_when_the_parent_is_already_gone(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", guard.__file__, "1", "touch", str(tmp_path / "started")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "is gone" in done.stderr
    assert not (tmp_path / "started").exists()


async def test_stopping_lets_the_process_end_by_itself(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = shell("trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done", log=log)
    await process.start()
    await asyncio.to_thread(wait_until, lambda: "up" in log.read_text(), 20, "the trap")
    await process.stop(60)
    assert process.status == 3
    await process.stop(60)  # one that has ended is left alone


async def test_a_process_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = shell("trap '' TERM; echo up; while :; do sleep 0.01; done", log=log)
    await process.start()
    await asyncio.to_thread(wait_until, lambda: "up" in log.read_text(), 20, "the trap")
    await process.stop(0.05)
    assert process.status == -signal.SIGKILL


async def test_what_ends_is_started_again_until_it_has_failed_too_often() -> None:
    lines: list[str] = []
    process = shell("kill -9 $$")
    with pytest.raises(LaunchError, match="soon after each of 3 starts; its lines above say why"):
        await process.keep_running(lines.append, backoff=quick(), max_failed_starts=3)
    assert lines == ["role was killed by SIGKILL; starting it again in 0.0 s"] * 2


async def test_ends_long_after_the_start_are_no_failed_starts() -> None:
    ends: list[str] = []
    process = ManagedProcess("role", ["sh", "-c", "exit 1"])
    keeping = asyncio.create_task(
        process.keep_running(ends.append, backoff=quick(), max_failed_starts=2, stable_seconds=0)
    )
    async with asyncio.timeout(30):
        while len(ends) < 4:
            await asyncio.sleep(0.01)
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)
    await process.stop(0)
    assert ends[0] == "role ended (1); starting it again in 0.0 s"


async def test_what_cannot_start_is_not_started_again() -> None:
    lines: list[str] = []
    with pytest.raises(LaunchError, match=r"^role cannot start; its lines above say why$"):
        await shell("exit 2").keep_running(lines.append)
    assert lines == []
