"""A guarded command ends with the process that started it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cli import guard, supervision

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")

# A parent that starts a guarded sleeper, names it, and waits.
PARENT = """
import os, subprocess, sys, time
os.environ["PLATE_DETECT_GUARD_PID"] = str(os.getpid())
print(subprocess.Popen(sys.argv[1:]).pid, flush=True)
time.sleep(60)
"""


def start_parent(command: list[str]) -> tuple[subprocess.Popen[str], psutil.Process]:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, *command], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    return parent, child


@linux_only
def test_a_killed_parent_takes_the_command_along() -> None:
    parent, child = start_parent(supervision.guarded(["sleep", "60"], "SIGKILL"))
    with parent:
        try:
            _wait_until_named(child, "sleep")
        finally:
            parent.kill()
        psutil.wait_procs([child], timeout=10)
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_it_does_not_start_when_the_parent_is_already_gone(tmp_path: Path) -> None:
    done = subprocess.run(
        supervision.guarded(["touch", str(tmp_path / "started")], "SIGTERM"),
        env={**os.environ, guard.PARENT: "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is gone" in done.stderr
    assert not (tmp_path / "started").exists()


def test_the_commands_exit_status_is_kept() -> None:
    done = subprocess.run(
        supervision.guarded(["sh", "-c", "exit 7"], "SIGTERM"),
        env={**os.environ, guard.PARENT: str(os.getpid())},
        check=False,
    )
    assert done.returncode == 7


def _wait_until_named(process: psutil.Process, name: str) -> None:
    for _ in range(200):
        if process.name() == name:
            return
        time.sleep(0.05)
    raise AssertionError(f"{process} did not become {name}")
