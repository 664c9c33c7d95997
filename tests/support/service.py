"""The real processes of the service, started as in production, to be killed by tests."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar

import requests

from cli.launcher import ManagedProcess, role_command
from tests.support.hosts import LOOPBACK, Host
from tests.support.ports import free_port
from tests.support.stand_in import chosen_stand_in

T = TypeVar("T")

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_SECONDS = 60.0
END_TIMEOUT_SECONDS = 60.0


@cache
def launcher_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop on which tests start processes, in a thread of its own.

    The thread lasts as long as this process: Linux ends the processes with the thread.
    """
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="launcher", daemon=True).start()
    return loop


def on_launcher_loop(coroutine: Coroutine[object, object, T]) -> T:
    """Run a coroutine of the launcher to its end; for tests that are not asynchronous."""
    return asyncio.run_coroutine_threadsafe(coroutine, launcher_loop()).result(END_TIMEOUT_SECONDS)


def role_arguments(name: str, environment: Mapping[str, str]) -> list[str]:
    """Return the arguments of Python that start a role; a worker perhaps with the stand-in."""
    if name.startswith("worker") and chosen_stand_in(environment.get("MODEL_PATH", "")):
        return ["-m", "tests.support.worker"]
    return role_command(name)[1:]


class Role:
    """One process of the service; its log goes to a file that a failed test can show."""

    def __init__(
        self, name: str, environment: dict[str, str], folder: Path, host: Host = LOOPBACK
    ) -> None:
        self.name = name
        self.environment = environment
        self._log = folder / f"{name}.log"
        self.process = ManagedProcess(
            name,
            [*host.prefix, sys.executable, *role_arguments(name, environment)],
            environment=environment,
            folder=folder,
            log=self._log,
        )

    def start(self) -> None:
        """Start the process; does not wait until it is ready."""
        on_launcher_loop(self.process.start())

    def kill(self) -> None:
        """SIGKILL: no chance to clean up."""
        self.process.send(signal.SIGKILL)
        self.wait()

    def terminate(self) -> int:
        """SIGTERM; return the exit status."""
        self.process.send(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end of the process; return the exit status."""
        return on_launcher_loop(self.process.wait())

    def restart(self) -> None:
        """Kill and start again."""
        self.kill()
        self.start()

    @property
    def log(self) -> str:
        """Everything the process has written."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        """Process id."""
        return self.process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process was started and has not ended."""
        return self.process.is_running


class Service:
    """A producer, workers and a dispatcher on one server and one storage folder."""

    def __init__(self, redis_url: str, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.storage = folder / "tasks_storage"
        self.folder = folder
        self._environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "REDIS_URL": redis_url,
            "PORT": str(self.port), "HOST": "127.0.0.1", "LOG_FORMAT": "json",
            "LEASE_SECONDS": "2", **settings,
        }  # fmt: skip
        self.roles: dict[str, Role] = {}

    @property
    def url(self) -> str:
        """Address of the producer."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *names: str) -> None:
        """Start roles: producer, worker, worker-2, dispatcher, …; waits for the producer."""
        for name in names:
            self.start_unready(name)
        if "producer" in names:
            self.wait_ready()

    def start_unready(self, *names: str) -> None:
        """Start roles without waiting for any of them."""
        for name in names:
            port = 0 if name == "producer" else free_port()
            environment = {**self._environment, "METRICS_PORT": str(port)}
            self.roles[name] = Role(name, environment, self.folder)
            self.roles[name].start()

    def wait_ready(self) -> None:
        """Wait until the producer takes tasks."""
        wait_until(
            lambda: _answers(f"{self.url}/ready"),
            START_TIMEOUT_SECONDS,
            lambda: f"/ready\n{self.logs}",
        )

    def metrics_url(self, name: str) -> str:
        """Address of a consumer's metrics."""
        return f"http://127.0.0.1:{self.roles[name].environment['METRICS_PORT']}/metrics"

    def submit(self, *images: tuple[str, bytes]) -> str:
        """Send images as a client would; returns the task id."""
        answer = requests.post(
            f"{self.url}/api/v1/process-task/",
            files=[("files", image) for image in images], timeout=30,
        )  # fmt: skip
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    def status(self, task_id: str) -> dict[str, object]:
        """The task as the producer describes it."""
        answer = requests.get(f"{self.url}/api/v1/task-status/{task_id}", timeout=30)
        assert answer.status_code == 200, answer.text
        body: dict[str, object] = answer.json()
        return body

    def wait_final(self, task_id: str, timeout: float = 100) -> dict[str, object]:
        """Wait until the task has ended; returns its status."""

        def ended() -> bool:
            return self.status(task_id)["status"] in ("completed", "failed")

        wait_until(ended, timeout, lambda: f"task {task_id} to end\n{self.logs}")
        return self.status(task_id)

    def result(self, url: str) -> bytes:
        """Fetch a result."""
        answer = requests.get(self.url + url, timeout=30)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "image/webp"
        return answer.content

    @property
    def logs(self) -> str:
        """Logs of all roles."""
        return "\n".join(f"--- {name}\n{role.log}" for name, role in self.roles.items())

    def stop(self) -> None:
        """End whatever still runs."""
        for role in self.roles.values():
            if role.is_running:
                role.kill()


@contextmanager
def running(redis_url: str, folder: Path, *names: str, **settings: str) -> Iterator[Service]:
    """A service for the length of a block."""
    service = Service(redis_url, folder, **settings)
    try:
        service.start(*names)
        yield service
    finally:
        service.stop()


def wait_until(condition: object, timeout: float, what: str | Callable[[], str]) -> None:
    """Ask until it is so; another process' progress has no signal that a test could await."""
    assert callable(condition)
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            missing = what() if callable(what) else what
            raise AssertionError(f"waited {timeout} s in vain for {missing}")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.RequestException:
        return False
