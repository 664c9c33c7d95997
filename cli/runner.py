"""`plate-detect run`: every role on this machine, until a signal stops them."""

import asyncio
import errno
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO

from cli import embedded
from cli.embedded import RunSettings
from cli.launcher import STOP_MARGIN_SECONDS, LaunchError, ManagedProcess, role_command
from cli.readiness import ReadinessProbe, wait_until_ready
from consumer.settings import DispatcherSettings, WorkerSettings
from consumer.vision.cover.cover import StubError, load_stub
from producer.settings import ProducerSettings
from schemas.listening import check_bindable
from schemas.settings.addresses import in_url

MAX_PORT = 65_535


@dataclass(frozen=True)
class Plan:
    """What is started, all of it checked before anything is.

    ``server``: the embedded one, if it is needed. ``stop_seconds``: until a process is killed.
    """

    server: ManagedProcess | None
    roles: list[ManagedProcess]
    producer: ReadinessProbe
    stop_seconds: float

    @property
    def processes(self) -> list[ManagedProcess]:
        """The server and the roles."""
        return [self.server, *self.roles] if self.server else self.roles


def run(workers: int, folder: Path) -> None:
    """Start everything, report when it is ready, and return after a signal once all has stopped.

    Raises:
        SettingsError: a setting is wrong.
        LaunchError: the service cannot start, or does not keep running.
        OSError: a file of its own cannot be written.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise LaunchError(f"{folder} cannot be made a folder: {error.strerror}") from None
    with locked(folder / "run.lock") as lock:
        asyncio.run(run_until_signal(make_plan(workers, folder, lock)))


@contextmanager
def locked(path: Path) -> Iterator[IO[str]]:
    """Hold the lock of a folder. The processes inherit it, and free it when all have ended."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LaunchError("already running (or still stopping) in this folder") from None
        yield lock


def make_plan(workers: int, folder: Path, lock: IO[str]) -> Plan:
    """Read all settings and check what the roles will need; raises as `run`."""
    settings, producer, worker = RunSettings.load(), ProducerSettings.load(), WorkerSettings.load()
    DispatcherSettings.load()  # a wrong setting of any role is reported here
    _check_files(worker)
    _check_address(producer.host, producer.port)
    ports = metrics_ports(
        workers, worker.metrics_port, taken={producer.port, settings.embedded_redis_port}
    )
    environment, server = dict(os.environ), None
    if not settings.names_redis:
        port = settings.embedded_redis_port
        if port and not embedded.port_is_free(port):
            raise LaunchError(f"EMBEDDED_REDIS_PORT={port} is taken")
        data = folder / "redis"
        port = embedded.choose_port(data, port)
        server = ManagedProcess("redis", embedded.command(data, port), stdin=lock)
        environment["REDIS_URL"] = embedded.url(port)
    roles = [
        ManagedProcess("producer", role_command("producer"), environment=environment, stdin=lock)
    ]
    for name, port in ports.items():
        own = {**environment, "METRICS_PORT": str(port)}
        roles.append(ManagedProcess(name, role_command(name), environment=own, stdin=lock))
    drain_seconds = max(producer.drain_seconds, worker.drain_seconds)
    probe = ReadinessProbe(producer.host, producer.port)
    return Plan(server, roles, probe, drain_seconds + STOP_MARGIN_SECONDS)


def metrics_ports(workers: int, first: int, taken: set[int]) -> dict[str, int]:
    """Return the port for the metrics of each worker and dispatcher; 0 if ``first`` is: none.

    Each role would find a free port by itself. Here it has the same one in every run, and none
    that another process of this run is to listen on.

    Raises:
        LaunchError: there are not enough ports.
    """
    names = ["worker", "dispatcher", *(f"worker-{n}" for n in range(2, workers + 1))]
    if not first:
        return dict.fromkeys(names, 0)
    free = (port for port in count(first) if port not in taken)
    ports = dict(zip(names, free, strict=False))
    if max(ports.values()) > MAX_PORT:
        raise LaunchError(
            f"METRICS_PORT={first} is too high: worker and dispatcher take {len(names)}"
            f" consecutive ports, and {MAX_PORT} is the last there is"
        )
    return ports


def _check_address(host: str, port: int) -> None:
    try:
        check_bindable(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise LaunchError(
                f"port {port} is taken: stop what listens there or choose another,"
                f" e.g. PORT={port + 1}"
            ) from None
        where = f"{in_url(host)}:{port}"
        raise LaunchError(f"cannot listen on HOST:PORT = {where}: {error.strerror}") from None


def _check_files(worker: WorkerSettings) -> None:
    if not worker.model_path.exists():
        raise LaunchError(f"MODEL_PATH={worker.model_path}: there is no such file")
    if worker.cover_mode == "image":
        try:
            load_stub(worker.cover_image_path)
        except StubError as error:
            raise LaunchError(f"COVER_IMAGE_PATH={error}") from None


async def run_until_signal(plan: Plan) -> None:
    """Keep the processes running until a signal, then stop them; a second signal kills them."""
    stop, kill = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (kill if stop.is_set() else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    await keep_running(plan, stop, kill)


async def keep_running(plan: Plan, stop: asyncio.Event, kill: asyncio.Event) -> None:
    """Keep the processes running until `stop`, then stop them; `kill` kills them meanwhile.

    Raises:
        LaunchError: a process cannot start or keeps ending, or the producer does not get ready.
    """
    jobs: set[asyncio.Task[object]] = {
        asyncio.create_task(stop.wait()),
        asyncio.create_task(_report_ready(plan.producer)),
        *(asyncio.create_task(process.keep_running(_report)) for process in plan.processes),
    }
    waiting = jobs
    try:
        while not stop.is_set():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for job in done:
                job.result()  # raises what ended it
    finally:
        stop.set()
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        await _stop(plan, kill)


async def _report_ready(producer: ReadinessProbe) -> None:
    await wait_until_ready(producer, _report)
    _report(f"ready: {producer.url}  (Ctrl-C stops it)")


async def _stop(plan: Plan, kill: asyncio.Event) -> None:
    """Stop all roles at once, then the server, which they need until they have ended."""
    _report("stopping; work in flight is being finished (Ctrl-C again: at once)")

    async def stop_in_order() -> None:
        await asyncio.gather(*(role.stop(plan.stop_seconds) for role in plan.roles))
        if plan.server:
            await plan.server.stop(plan.stop_seconds)

    stopping = asyncio.create_task(stop_in_order())
    killed = asyncio.create_task(kill.wait())
    await asyncio.wait({stopping, killed}, return_when=asyncio.FIRST_COMPLETED)
    killed.cancel()
    if not stopping.done():
        for process in plan.processes:
            process.send(signal.SIGKILL)
    await stopping


def _report(line: str) -> None:
    print(f"plate-detect: {line}", flush=True)
