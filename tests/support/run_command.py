"""`plate-detect run` as a user starts it: the server and all roles, with their output."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil
import requests

from tests.support.ports import free_port
from tests.support.service import ROOT, wait_until

RUN_COMMAND = (sys.executable, "-m", "cli", "run")


class Run:
    """One `plate-detect run` in a folder of its own, its output at hand.

    Args:
        command: what starts it.
        port: of the service.
        environment: all of it; default: that of this process, with addresses of the test.
    """

    def __init__(
        self,
        folder: Path,
        command: Sequence[str] = RUN_COMMAND,
        port: int | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        port = port or free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.output = ""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("REDIS_")}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment or {
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
        """Wait until the output has a text."""
        wait_until(lambda: text in self.output or self.process.poll() is not None, 60, text)
        assert text in self.output, self.output

    def interrupt(self) -> None:
        """Do as a terminal does at Ctrl-C: send the signal to the whole group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def family(self) -> list[psutil.Process]:
        """Return the processes of the service."""
        found: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return found

    def member(self, command: str) -> psutil.Process | None:
        """Return the process with this in its command line; a dead one has none any more."""
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
        """Return whether it takes tasks."""
        try:
            return requests.get(f"{self.url}/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def close(self) -> int:
        """Wait for its end; return the exit status."""
        status = self.process.wait(timeout=60)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status
