"""Clients that send large photos without a pause, and the memory of the processes meanwhile."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests

from tests.support.pictures import scene_file
from tests.support.redis_server import RedisServer, server_binaries
from tests.support.service import Service, running, wait_until

MIB = 1 << 20
SAMPLE_SECONDS = 0.25
EXTRA_SECONDS = 90.0
ROLES = ("producer", "worker", "dispatcher")


@dataclass(frozen=True)
class FloodPlan:
    """How much arrives: `clients` send tasks of `images` photographs, `width` pixels wide, 3:2."""

    seconds: float = 600.0
    clients: int = 20
    images: int = 50
    width: int = 4240
    max_backlog: int = 500
    min_images_done: int = 0
    """The run continues after `seconds` until so many are done, at most for EXTRA_SECONDS."""


@dataclass
class FloodFigures:
    """What happened; memory is resident, MiB. `samples`: seconds since the start, MiB by role."""

    plan: FloodPlan
    idle: dict[str, float]
    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    accepted: int = 0
    refused: int = 0
    images_done: int = 0
    unexpected: list[str] = field(default_factory=list)

    def peak(self, role: str, since: float = 0.0, until: float = 1.0) -> float:
        """Return the peak memory in a part of the run, given as shares of its length."""
        end = self.samples[-1][0]
        return max(memory[role] for at, memory in self.samples if since * end <= at <= until * end)

    def growth(self, role: str) -> float:
        """Peak of the last third over the peak of the second: 1 is flat."""
        return self.peak(role, 2 / 3, 1.0) / self.peak(role, 1 / 3, 2 / 3)


class FloodClient(threading.Thread):
    """Sends the same task repeatedly; waits as Retry-After says."""

    def __init__(
        self, service: Service, files: list[tuple[str, bytes]], figures: FloodFigures
    ) -> None:
        super().__init__()
        self._service, self._files, self._figures = service, files, figures
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.is_set():
            try:
                self._send()
            except requests.RequestException as error:
                self._figures.unexpected.append(repr(error))
                return

    def _send(self) -> None:
        answer = requests.post(
            f"{self._service.url}/api/v1/process-task/",
            files=[("files", file) for file in self._files], timeout=300,
        )  # fmt: skip
        if answer.status_code == 202:
            self._figures.accepted += 1
        elif answer.status_code == 503:
            self._figures.refused += 1
            self.stopped.wait(min(5.0, float(answer.headers["Retry-After"])))
        else:
            self._figures.unexpected.append(f"{answer.status_code} {answer.text[:200]}")


def run(plan: FloodPlan, folder: Path, tell: Callable[[str], None]) -> FloodFigures:
    """Overload a service with default settings, one process of each role, for `plan.seconds`."""
    redis_folder = folder / "redis"
    redis_folder.mkdir()
    server = RedisServer(server_binaries()["valkey"], redis_folder)
    server.start()
    files = [(f"{seed}.jpg", scene_file(seed % 4, width=plan.width)) for seed in range(plan.images)]
    try:
        with running(
            server.url, folder, *ROLES, LEASE_SECONDS="30",
            MAX_BACKLOG_IMAGES=str(plan.max_backlog),
        ) as service:  # fmt: skip
            service.wait_final(service.submit(("small.jpg", scene_file(0, width=240))))
            return _flooded(plan, service, files, tell)
    finally:
        server.stop()


def _flooded(
    plan: FloodPlan, service: Service, files: list[tuple[str, bytes]], tell: Callable[[str], None]
) -> FloodFigures:
    processes = {name: psutil.Process(service.roles[name].pid) for name in ROLES}
    figures = FloodFigures(plan, memory_of(processes))
    tell(f"idle: {figures.idle}")
    started = time.monotonic()
    end = started + plan.seconds

    def is_over(now: float) -> bool:
        if now < end:
            return False
        return images_done(service) >= plan.min_images_done or now > end + EXTRA_SECONDS

    clients = [FloodClient(service, files, figures) for _ in range(plan.clients)]
    for client in clients:
        client.start()
    told = started
    while not is_over(now := time.monotonic()):
        figures.samples.append((now - started, memory_of(processes)))
        if now - told > 30:
            told = now
            tell(f"{figures.accepted} tasks taken, {figures.refused} refused, "
                 f"{figures.samples[-1][1]}")  # fmt: skip
        time.sleep(SAMPLE_SECONDS)
    figures.images_done = images_done(service)
    for client in clients:
        client.stopped.set()
    for client in clients:
        client.join(timeout=320)
    # The service must become ready again.
    wait_until(
        lambda: requests.get(f"{service.url}/ready", timeout=10).status_code == 200, 60, "/ready"
    )
    return figures


def memory_of(processes: dict[str, psutil.Process]) -> dict[str, float]:
    """Return the resident memory of each role, MiB."""
    return {name: round(p.memory_info().rss / MIB, 1) for name, p in processes.items()}


def images_done(service: Service) -> int:
    """Return how many images the worker has covered so far."""
    text = requests.get(service.metrics_url("worker"), timeout=10).text
    [line] = [row for row in text.splitlines()
              if row.startswith('plate_images_total{outcome="covered"}')]  # fmt: skip
    return int(float(line.split()[1]))
