"""The processes under load: started as in production, sampled from outside, stopped again."""

import asyncio
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from cli import embedded
from cli.launcher import ManagedProcess, role_command
from cli.readiness import ReadinessProbe
from tests.bench.environment import environment
from tests.support.ports import free_port

START_SECONDS = 120.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.1
SAMPLE_SECONDS = 0.1


class BenchError(Exception):
    """The benchmark cannot go on. The message is one line for the operator."""


@dataclass
class Usage:
    """CPU seconds so far and highest resident bytes seen, of one process and its children."""

    cpu_seconds: float = 0.0
    peak_bytes: int = 0


@dataclass
class ServiceUnderLoad:
    """Running processes, and where they are reached."""

    url: str
    folder: Path
    processes: list[ManagedProcess]
    redis_url: str = ""
    metrics_url: str = ""
    usage: dict[str, Usage] = field(default_factory=dict)

    def sample(self) -> None:
        """Note memory and CPU of every process. Raises BenchError if one has ended."""
        for process in self.processes:
            usage = self.usage.setdefault(process.name, Usage())
            try:
                if not process.is_running:  # its children may still run
                    raise psutil.NoSuchProcess(process.pid)
                root = psutil.Process(process.pid)
                family = [root, *root.children(recursive=True)]
                usage.peak_bytes = max(usage.peak_bytes, sum(p.memory_info().rss for p in family))
                usage.cpu_seconds = sum(sum(p.cpu_times()[:2]) for p in family)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                name = process.name
                raise BenchError(f"{name} has ended: {self._last_line(name)}") from None

    def _last_line(self, name: str) -> str:
        """Return the end of a log, which is deleted with the folder."""
        lines = _log(self.folder, name).read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "its log is empty")

    def cpu_seconds(self) -> dict[str, float]:
        """Return CPU seconds of each process since its start."""
        self.sample()
        return {name: usage.cpu_seconds for name, usage in self.usage.items()}

    @contextmanager
    def peaks_watched(self) -> Iterator[None]:
        """Note memory peaks anew. Sampling takes CPU: time no latency meanwhile."""
        for usage in self.usage.values():
            usage.peak_bytes = 0
        done = threading.Event()

        def sample() -> None:
            while not done.wait(SAMPLE_SECONDS):
                try:
                    self.sample()
                except BenchError:
                    return  # the client, which gets no responses, reports it

        thread = threading.Thread(target=sample, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@asynccontextmanager
async def service(
    folder: Path, settings: dict[str, str], workers: int
) -> AsyncIterator[ServiceUnderLoad]:
    """Run server, producer, workers and a dispatcher, all in ``folder``.

    ``settings`` win over the user's.

    Raises BenchError if they do not become ready, SettingsError if one of the user's is wrong.
    """
    data, port = folder / "redis", free_port()
    redis_port = embedded.choose_port(data, free_port())
    common = {
        **environment(), **settings, "REDIS_URL": embedded.url(redis_port), "HOST": "127.0.0.1",
        "PORT": str(port), "TASKS_STORAGE_URL": (folder / "storage").absolute().as_uri(),
        "LOG_LEVEL": "warning", "DRAIN_SECONDS": "1",
    }  # fmt: skip
    names = ["producer", "worker", *(f"worker-{n}" for n in range(2, workers + 1)), "dispatcher"]
    metrics_ports = {name: free_port() if "worker" in name else 0 for name in names}
    processes = [_process("redis", embedded.command(data, redis_port), common, folder)]
    for name, metrics_port in metrics_ports.items():
        own = {**common, "METRICS_PORT": str(metrics_port)}
        processes.append(_process(name, role_command(name), own, folder))
    under_load = ServiceUnderLoad(
        f"http://127.0.0.1:{port}", folder, processes, embedded.url(redis_port),
        f"http://127.0.0.1:{metrics_ports['worker']}/metrics",
    )  # fmt: skip
    async with _started(under_load, port):
        yield under_load


@asynccontextmanager
async def baseline(
    folder: Path, name: str, script: list[str], port: int
) -> AsyncIterator[ServiceUnderLoad]:
    """Run a script in ``folder`` that serves HTTP on ``port``; raises as `service`."""
    process = _process(name, [sys.executable, *script], environment(), folder)
    under_load = ServiceUnderLoad(f"http://127.0.0.1:{port}", folder, [process])
    async with _started(under_load, port):
        yield under_load


def _process(
    name: str, command: list[str], environment: dict[str, str], folder: Path
) -> ManagedProcess:
    return ManagedProcess(
        name, command, environment=environment, folder=folder, log=_log(folder, name)
    )


def _log(folder: Path, name: str) -> Path:
    return folder / f"{name}.log"


@asynccontextmanager
async def _started(under_load: ServiceUnderLoad, port: int) -> AsyncIterator[None]:
    try:
        for process in under_load.processes:
            await process.start()
        await _wait_until_ready(ReadinessProbe("127.0.0.1", port), under_load)
        yield
    finally:
        for process in reversed(under_load.processes):
            await process.stop(STOP_SECONDS)


async def _wait_until_ready(probe: ReadinessProbe, under_load: ServiceUnderLoad) -> None:
    deadline = time.monotonic() + START_SECONDS
    while (reason := await probe.reason_not_ready()) is not None:
        under_load.sample()
        if time.monotonic() > deadline:
            raise BenchError(f"not ready after {START_SECONDS} s: {reason}")
        await asyncio.sleep(POLL_SECONDS)
