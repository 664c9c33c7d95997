"""`plate-detect run`: every role on this machine, under supervisor, until a signal says stop."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cli import embedded, guard, supervision
from cli.readiness import ReadinessProbe
from cli.settings import RunSettings
from consumer.settings import DispatcherSettings, WorkerSettings
from consumer.vision.cover import StubError, load_stub
from consumer.vision.standin import chosen_standin
from producer.settings import ProducerSettings
from schemas.listening import check_bindable
from schemas.settings.addresses import in_url

READY_TIMEOUT_SECONDS = 180
NOTICE_SECONDS = 10
MOST_NOTICE_SECONDS = 300
POLL_SECONDS = 0.25
MOST_PORT = 65535


class RunError(Exception):
    """The service cannot start or did not stay up. The message is one line for the operator."""


@dataclass(frozen=True)
class Plan:
    """What is to be started, all of it checked before anything is."""

    config_file: Path
    environment: dict[str, str]
    address: tuple[str, int]
    stop_seconds: float


def run(workers: int, folder: Path) -> None:
    """Start everything, say when it is ready, and return after a signal once all has stopped.

    Raises:
        SettingsError: a setting is wrong.
        RunError: the service cannot start, or did not stay up.
        OSError: a file of its own cannot be written.
    """
    stop = _stop_on_signals()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made a folder: {error.strerror}") from None
    with _only_one(folder / "run.lock") as lock:
        plan = _plan(workers, folder)
        with _supervisor(plan, lock) as supervisor:
            try:
                _wait_until_ready(plan, supervisor, stop)
                _wait_until_stopped(supervisor, stop)
            finally:
                _stop(supervisor, stop, plan.stop_seconds)


def _plan(workers: int, folder: Path) -> Plan:
    settings, producer, worker = RunSettings.load(), ProducerSettings.load(), WorkerSettings.load()
    DispatcherSettings.load()  # a wrong setting of any role is said now, by this process
    _check_files(worker)
    listening = {producer.port, settings.embedded_redis_port}
    roles = supervision.roles(workers, worker.metrics_port, listening)
    _check_ports(producer, [r.metrics_port for r in roles if r.metrics_port])
    environment = dict(os.environ) | {guard.PARENT: str(os.getpid()), "PYTHONUNBUFFERED": "1"}
    server_command = None
    if not settings.names_redis:
        server = embedded.prepare(folder / "redis", _embedded_port(settings))
        server_command = server.command
        environment["REDIS_URL"] = server.url
    if settings.log_format == "auto" and sys.stdout.isatty():
        # The roles write through supervisor's pipes and cannot see the terminal behind them.
        environment["LOG_FORMAT"] = "console"
    drain_seconds = max(producer.drain_seconds, worker.drain_seconds)
    config_file = folder / "supervisord.conf"
    config_file.write_text(
        supervision.config(roles, server_command, drain_seconds),
        encoding="utf-8",
    )
    stop_seconds = 2 * (drain_seconds + supervision.STOP_MARGIN_SECONDS)
    return Plan(config_file, environment, (producer.host, producer.port), stop_seconds)


def _check_ports(producer: ProducerSettings, metrics_ports: list[int]) -> None:
    _check_address(producer.host, producer.port)
    if metrics_ports and max(metrics_ports) > MOST_PORT:
        raise RunError(
            f"METRICS_PORT={metrics_ports[0]} is too high: worker and dispatcher take"
            f" {len(metrics_ports)} consecutive ports, and {MOST_PORT} is the last there is"
        )


def _check_address(host: str, port: int) -> None:
    """Raise RunError if the producer could not listen there."""
    try:
        check_bindable(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise RunError(
                f"port {port} is taken: stop what listens there or choose another,"
                f" e.g. PORT={port + 1}"
            ) from None
        where = f"{in_url(host)}:{port}"
        raise RunError(f"cannot listen on HOST:PORT = {where}: {error.strerror}") from None


def _check_files(worker: WorkerSettings) -> None:
    """Raise RunError for a file that no worker could start with."""
    if not worker.model_path.exists() and not chosen_standin(worker.model_path):
        raise RunError(f"MODEL_PATH={worker.model_path}: there is no such file")
    if worker.cover_mode == "image":
        try:
            load_stub(worker.cover_image_path)
        except StubError as error:
            raise RunError(f"COVER_IMAGE_PATH={error}") from None


def _embedded_port(settings: RunSettings) -> int:
    port = settings.embedded_redis_port
    if port and not embedded.port_is_free(port):
        raise RunError(f"EMBEDDED_REDIS_PORT={port} is taken")
    return port


@contextmanager
def _supervisor(plan: Plan, lock: IO[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start supervisor in a session of its own: the terminal's Ctrl-C reaches only this process.

    It is told to stop if this process dies, and holds the lock (as its unused standard input)
    until it has stopped.
    """
    # Supervisor opens its standard output anew, by name: that fails for a socket and writes over
    # our own lines in a file, and works for a pipe.
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as output:
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(plan.config_file)]
        supervisor = subprocess.Popen(
            supervision.guarded(command, "SIGTERM"),
            stdin=lock,
            stdout=output.stdin,
            stderr=subprocess.STDOUT,
            env=plan.environment,
            start_new_session=True,
        )
        yield supervisor


def _wait_until_ready(
    plan: Plan, supervisor: subprocess.Popen[bytes], stop: threading.Event
) -> None:
    """Say when it is ready; raises RunError if something is wrong for too long.

    A full backlog may take hours, and nothing is wrong: who stops everything then stops the workers
    that make room.
    """
    probe = ReadinessProbe(*plan.address)
    well_at = time.monotonic()
    pause: float = NOTICE_SECONDS
    notice_at = well_at + pause
    while not stop.is_set() and supervisor.poll() is None:
        reason = probe.reason_not_ready()
        if reason is None:
            _say(f"ready: {probe.url}  (Ctrl-C stops it)")
            return
        now = time.monotonic()
        if probe.is_full:
            well_at = now
        elif now > well_at + READY_TIMEOUT_SECONDS:
            raise RunError(f"not ready after {READY_TIMEOUT_SECONDS} s: {reason}")
        if now > notice_at:
            _say(f"not ready yet: {reason}")
            pause = min(2 * pause, MOST_NOTICE_SECONDS)
            notice_at = now + pause
        stop.wait(POLL_SECONDS)


def _wait_until_stopped(supervisor: subprocess.Popen[bytes], stop: threading.Event) -> None:
    while not stop.wait(POLL_SECONDS):
        if supervisor.poll() is not None:
            raise RunError("stopped without being asked to; the lines above say why")


def _stop(supervisor: subprocess.Popen[bytes], stop: threading.Event, seconds: float) -> None:
    """Let work in flight end; a second signal, or a supervisor that hangs, ends it at once."""
    if supervisor.poll() is not None:
        return
    _say("stopping; work in hand is being finished (Ctrl-C again: at once)")
    supervisor.terminate()
    stop.clear()
    deadline = time.monotonic() + seconds
    while supervisor.poll() is None:
        if stop.wait(POLL_SECONDS / 5) or time.monotonic() > deadline:
            # On Linux the roles end with it (see guard.py). Elsewhere only patience is safe.
            if sys.platform == "linux":
                supervisor.kill()
            supervisor.wait()
            return


@contextmanager
def _only_one(path: Path) -> Iterator[IO[str]]:
    """Hold the lock of this folder; supervisor inherits it and frees it by ending."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError("already running (or still stopping) in this folder") from None
        yield lock


def _stop_on_signals() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _say(text: str) -> None:
    print(f"plate-detect: {text}", flush=True)
