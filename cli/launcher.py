"""Starting processes of the service, for `plate-detect run`, for tests and for benchmarks.

A process ends with the one that started it, even if that is killed (see guard.py).
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from cli import guard
from schemas.retry import Backoff

STOP_MARGIN_SECONDS = 5.0
"""What a role may take beyond DRAIN_SECONDS before it is killed."""

CANNOT_START = 2
"""Exit status of a role that would fail again: a wrong setting, or an address in use."""

_MODULES = {"producer": ["producer"], "worker": ["consumer", "worker"],
            "dispatcher": ["consumer", "dispatcher"]}  # fmt: skip


_PROGRAM = Path(__file__).resolve().parents[1]


class LaunchError(Exception):
    """A process cannot start, or does not keep running. The message is one line."""


def role_command(name: str) -> list[str]:
    """Return the command line of a role: `producer`, `dispatcher`, `worker`, `worker-2`, …"""
    # Where a user starts an installed program there may be a folder `models` that is not ours.
    options = [] if Path.cwd() == _PROGRAM else ["-P"]
    return [sys.executable, *options, "-m", *_MODULES[name.partition("-")[0]]]


@dataclass(eq=False, repr=False)
class ManagedProcess:
    """One process, and those that are started in its place after it has ended.

    Args:
        environment: all of it; default: that of this process.
        folder: where it runs; default: where this process does.
        stdin: default: nothing to read.
        log: file that its output is appended to; default: the output of this process.
    """

    name: str
    command: list[str]
    environment: Mapping[str, str] | None = None
    folder: Path | None = None
    stdin: IO[str] | None = None
    log: Path | None = None
    _process: asyncio.subprocess.Process | None = field(default=None, init=False)

    @property
    def pid(self) -> int:
        """Process id of the last start."""
        return self._started.pid

    @property
    def status(self) -> int | None:
        """Exit status, negative for a signal; None while it runs."""
        return self._started.returncode

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    @property
    def _started(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    async def start(self) -> None:
        """Start it in a session of its own, where the terminal's Ctrl-C does not reach it."""
        command = [sys.executable, "-S", guard.__file__, str(os.getpid()), *self.command]
        with nullcontext() if self.log is None else self.log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command, env=self.environment, cwd=self.folder,
                stdin=self.stdin or asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True,
            )  # fmt: skip

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.is_running:
            try:
                # Not through the library's method: that would reap the process itself.
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass

    async def wait(self) -> int:
        """Wait for its end; return the exit status."""
        return await self._started.wait()

    async def stop(self, seconds: float) -> None:
        """Ask it to end, and kill it if it has not after so many seconds."""
        if not self.is_running:
            return
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(seconds):
                await self.wait()
        except TimeoutError:
            self.send(signal.SIGKILL)
            await self.wait()

    async def keep_running(
        self,
        report: Callable[[str], None],
        *,
        backoff: Backoff | None = None,
        max_failed_starts: float = 6,
        stable_seconds: float = 10.0,
    ) -> None:
        """Start it, and start it again whenever it has ended; ends only by an error.

        Args:
            report: is given one line for each end.
            backoff: the waits before the next start.
            max_failed_starts: so many in a row are too many.
            stable_seconds: an end within this time is a failed start.

        Raises:
            LaunchError: it cannot start, or has ended too often.
        """
        backoff = backoff or Backoff(base=1, cap=16)
        failed_starts = 0
        while True:
            started = time.monotonic()
            await self.start()
            status = await self.wait()
            if status == CANNOT_START:
                raise LaunchError(f"{self.name} cannot start; its lines above say why")
            failed_starts += 1
            if time.monotonic() - started > stable_seconds:
                failed_starts = 0
                backoff.reset()
            elif failed_starts >= max_failed_starts:
                raise LaunchError(
                    f"{self.name} {_ending(status)} soon after each of {failed_starts} starts;"
                    " its lines above say why"
                )
            delay = backoff.next_delay()
            report(f"{self.name} {_ending(status)}; starting it again in {delay:.1f} s")
            await asyncio.sleep(delay)


def _ending(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended ({status})"
