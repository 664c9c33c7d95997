"""The processes under load: started as in production, sampled from outside, stopped again."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cli import embedded, supervision
from cli.readiness import ReadinessProbe
from tests.bench import surroundings

START_SECONDS = 120.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.1
SAMPLE_SECONDS = 0.1
_COMMANDS = {
    "producer": ["-m", "producer"],
    "worker": ["-m", "consumer", "worker"],
    "dispatcher": ["-m", "consumer", "dispatcher"],
}


class BenchError(Exception):
    """The benchmark cannot go on. The message is one line for the operator."""


@dataclass
class Usage:
    """CPU seconds so far and most resident bytes seen, of one process and its children."""

    cpu_seconds: float = 0.0
    peak_bytes: int = 0


@dataclass
class Roles:
    """Running processes by role, and where they are reached."""

    url: str
    redis_url: str
    metrics_url: str
    processes: dict[str, subprocess.Popen[bytes]]
    folder: Path
    usage: dict[str, Usage] = field(default_factory=dict)

    def sample(self) -> None:
        """Note memory and CPU of every role. Raises BenchError if one has ended."""
        for name, process in self.processes.items():
            usage = self.usage.setdefault(name, Usage())
            if process.poll() is not None:  # until then /proc still shows it, with no memory
                raise BenchError(f"{name} has ended: {self._last_words(name)}")
            try:
                root = psutil.Process(process.pid)
                family = [root, *root.children(recursive=True)]
                usage.peak_bytes = max(usage.peak_bytes, sum(p.memory_info().rss for p in family))
                usage.cpu_seconds = sum(sum(p.cpu_times()[:2]) for p in family)
            except psutil.NoSuchProcess:
                raise BenchError(f"{name} has ended: {self._last_words(name)}") from None

    def _last_words(self, name: str) -> str:
        """Of its log, which goes with the folder."""
        lines = _log(self.folder, name).read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "without a word")

    def cpu_seconds(self) -> dict[str, float]:
        """Return CPU seconds of each role since its start."""
        self.sample()
        return {name: usage.cpu_seconds for name, usage in self.usage.items()}

    @contextmanager
    def peaks_watched(self) -> Iterator[None]:
        """Note memory peaks anew. Looking takes CPU: no latency should be timed meanwhile."""
        for usage in self.usage.values():
            usage.peak_bytes = 0
        done = threading.Event()

        def sample() -> None:
            while not done.wait(SAMPLE_SECONDS):
                try:
                    self.sample()
                except BenchError:
                    return  # whoever waits for its answers says so

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@contextmanager
def service(folder: Path, environment: dict[str, str], workers: int) -> Iterator[Roles]:
    """Run server, producer, workers and a dispatcher, all in ``folder``.

    ``environment``: settings of theirs that win over the user's.

    Raises BenchError if they do not become ready, SettingsError if one of the user's is wrong.
    """
    server = embedded.prepare(folder / "redis", 0)
    port, metrics = embedded.free_port(), embedded.free_port()
    common = {
        **surroundings.environment(), **environment, "REDIS_URL": server.url, "HOST": "127.0.0.1",
        "PORT": str(port), "TASKS_STORAGE_URL": (folder / "storage").absolute().as_uri(),
        "LOG_LEVEL": "warning", "DRAIN_SECONDS": "1",
    }  # fmt: skip
    commands: dict[str, tuple[list[str], str]] = {"redis": (server.command, "0")}
    for role, command in _COMMANDS.items():
        if role != "worker":
            commands[role] = ([sys.executable, *command], "0")
            continue
        for number in range(workers):
            name = "worker" if number == 0 else f"worker-{number + 1}"
            commands[name] = (
                [sys.executable, *command],
                str(metrics if number == 0 else embedded.free_port()),
            )
    with _started(commands, common, folder) as processes:
        roles = Roles(
            f"http://127.0.0.1:{port}", server.url, f"http://127.0.0.1:{metrics}/metrics",
            processes, folder,
        )  # fmt: skip
        _wait_until_ready(ReadinessProbe("127.0.0.1", port), roles)
        yield roles


@contextmanager
def single(folder: Path, name: str, command: list[str], port: int) -> Iterator[Roles]:
    """Run one process in ``folder`` that serves HTTP on ``port``; errors as ``service``."""
    with _started({name: (command, "0")}, surroundings.environment(), folder) as processes:
        roles = Roles(f"http://127.0.0.1:{port}", "", "", processes, folder)
        _wait_until_ready(ReadinessProbe("127.0.0.1", port), roles)
        yield roles


@contextmanager
def _started(
    commands: dict[str, tuple[list[str], str]], environment: dict[str, str], folder: Path
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Run commands that end with this process, even if it is killed."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, (command, metrics_port) in commands.items():
            with _log(folder, name).open("ab") as output:
                processes[name] = subprocess.Popen(
                    supervision.guarded(command, "SIGKILL"),
                    env={**environment, "METRICS_PORT": metrics_port}, cwd=folder,
                    stdout=output, stderr=output, start_new_session=True,
                )  # fmt: skip
        yield processes
    finally:
        for process in reversed(list(processes.values())):
            process.send_signal(signal.SIGTERM)
        for process in processes.values():
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _log(folder: Path, name: str) -> Path:
    return folder / f"{name}.log"


def _wait_until_ready(probe: ReadinessProbe, roles: Roles) -> None:
    deadline = time.monotonic() + START_SECONDS
    while (reason := probe.reason_not_ready()) is not None:
        roles.sample()
        if time.monotonic() > deadline:
            raise BenchError(f"not ready after {START_SECONDS} s: {reason}")
        time.sleep(POLL_SECONDS)
