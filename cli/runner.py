"""`plate-detect run`: every role on this machine, until a signal stops them."""

import asyncio
import errno
import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cli import embedded
from cli.embedded import RunSettings
from cli.launcher import STOP_MARGIN_SECONDS, LaunchError, ManagedProcess, role_command
from cli.readiness import ReadinessProbe, wait_until_ready
from consumer.settings import DispatcherSettings, WorkerSettings
from producer.settings import ProducerSettings
from schemas.listening import check_bindable
from schemas.settings.addresses import in_url


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
        OSError: its folder cannot be made, or a file of its own cannot be written.
    """
    folder.mkdir(exist_ok=True)
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
    environment, server = dict(os.environ), None
    if not settings.names_redis:
        port = settings.embedded_redis_port
        if port and not embedded.port_is_free(port):
            raise LaunchError(f"EMBEDDED_REDIS_PORT={port} is taken")
        data = folder / "redis"
        port = embedded.choose_port(data, port)
        server = ManagedProcess("redis", embedded.command(data, port), stdin=lock)
        environment["REDIS_URL"] = embedded.url(port)
    names = ["producer", "worker", "dispatcher", *(f"worker-{n}" for n in range(2, workers + 1))]
    roles = []
    for number, name in enumerate(names):
        own = dict(environment)
        if number and worker.metrics_port:
            # Each role finds a free port by itself; started here, it has the same in every run.
            own["METRICS_PORT"] = str(worker.metrics_port + number - 1)
        roles.append(ManagedProcess(name, role_command(name), environment=own, stdin=lock))
    drain_seconds = max(producer.drain_seconds, worker.drain_seconds)
    probe = ReadinessProbe(producer.host, producer.port)
    return Plan(server, roles, probe, drain_seconds + STOP_MARGIN_SECONDS)


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
    files = {"MODEL_PATH": worker.model_path}
    if worker.cover_mode == "image":
        files["COVER_IMAGE_PATH"] = worker.cover_image_path
    for name, path in files.items():
        if not path.exists():
            raise LaunchError(f"{name}={path}: there is no such file")


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
        LaunchError: a process cannot start or keeps ending.
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
