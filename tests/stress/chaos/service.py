"""The service under test: a server, a proxy before it, and all roles, which are kept running."""

import asyncio
import math
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import requests
from redis import Redis

from cli.launcher import LaunchError, ManagedProcess
from schemas.retry import Backoff
from tests.stress.chaos.plan import ChaosPlan
from tests.support.ports import free_port
from tests.support.proxy import Proxy
from tests.support.receiver import Receiver
from tests.support.redis_server import RedisServer
from tests.support.service import END_TIMEOUT_SECONDS, ROOT, Role, launcher_loop, wait_until

MAX_RESTART_SECONDS = 0.5


@dataclass
class ServiceProcess:
    """One process of the service, kept running."""

    role: Role
    killed: bool = False
    frozen: bool = False
    stopping: bool = False

    @property
    def name(self) -> str:
        """`worker-2`."""
        return self.role.name

    @property
    def kind(self) -> str:
        """`worker`."""
        return self.role.name.split("-")[0]

    @property
    def process(self) -> ManagedProcess:
        """The process that runs now, or ran last."""
        return self.role.process

    @property
    def awaits_sigterm(self) -> bool:
        """Whether it runs and has a handler for SIGTERM; without one it has not begun to work."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return False
        caught = int(status.partition("SigCgt:")[2].split()[0], 16)
        return self.process.is_running and bool(caught >> (signal.SIGTERM - 1) & 1)


@dataclass
class ChaosService:
    """The servers and processes of a run."""

    server: RedisServer
    proxy: Proxy
    receiver: Receiver
    storage: Path
    members: list[ServiceProcess]
    producer_urls: list[str]
    lock: threading.RLock = field(default_factory=threading.RLock)
    kills: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    poison_deaths: int = 0
    unexpected_exits: list[str] = field(default_factory=list)

    def redis(self) -> Redis:
        """Return a client that does not use the proxy."""
        return Redis.from_url(self.server.url, socket_timeout=5, socket_connect_timeout=2)

    def kill(self, member: ServiceProcess) -> None:
        """SIGKILL; the launcher starts it again."""
        with self.lock:
            member.killed = True
            member.process.send(signal.SIGKILL)
            self.kills[member.kind] += 1

    def freeze(self, member: ServiceProcess) -> None:
        """SIGSTOP."""
        with self.lock:
            member.frozen = True
            member.process.send(signal.SIGSTOP)

    def thaw(self, member: ServiceProcess) -> None:
        """SIGCONT."""
        with self.lock:
            member.process.send(signal.SIGCONT)
            member.frozen = False

    def upgrade(self, member: ServiceProcess, changed: dict[str, str]) -> None:
        """SIGTERM; the launcher starts it again, with changed settings."""
        with self.lock:
            member.role.environment.update(changed)
            member.stopping = True
            member.process.send(signal.SIGTERM)
            self.stops[member.kind] += 1

    def runners(self, kind: str) -> list[ServiceProcess]:
        """Members of a role that run now."""
        with self.lock:
            return [
                member
                for member in self.members
                if member.kind == kind and not member.frozen and member.process.is_running
            ]

    def note_end(self, member: ServiceProcess, _: str) -> None:
        """Note the end of a process, unless a fault caused it."""
        with self.lock:
            status = member.process.status
            was_stopping, member.stopping = member.stopping, False
            if member.killed:
                member.killed = False
            elif was_stopping and status == 0:
                pass
            elif member.kind == "worker" and status == -signal.SIGKILL:
                self.poison_deaths += 1
            else:
                self.unexpected_exits.append(f"{member.name} ended by itself with {status}")

    def is_ready(self) -> bool:
        """Whether each producer takes tasks, and a worker is there."""
        try:
            answers = [requests.get(f"{url}/ready", timeout=3) for url in self.producer_urls]
        except requests.RequestException:
            return False
        return all(answer.status_code == 200 for answer in answers)

    @property
    def logs(self) -> str:
        """Return the ends of all logs."""
        return "\n".join(f"--- {m.name}\n{m.role.log[-3000:]}" for m in self.members)


@contextmanager
def running_service(
    plan: ChaosPlan, binary: str, folder: Path, receiver: Receiver, environment: dict[str, str]
) -> Iterator[ChaosService]:
    """Run a service during a block; half of its processes reach the server through the proxy."""
    (folder / "redis").mkdir()
    server = RedisServer(binary, folder / "redis")
    server.start()
    with Proxy(server.port) as proxy:
        members, urls = _members(plan, folder, server, proxy, environment)
        service = ChaosService(server, proxy, receiver, folder / "tasks_storage", members, urls)
        try:
            with _kept_running(service):
                wait_until(service.is_ready, 60, lambda: f"the service\n{service.logs}")
                yield service
        finally:
            server.stop()


def _members(
    plan: ChaosPlan, folder: Path, server: RedisServer, proxy: Proxy, environment: dict[str, str]
) -> tuple[list[ServiceProcess], list[str]]:
    counts = {"worker": plan.workers, "dispatcher": plan.dispatchers, "producer": plan.producers}
    members, urls = [], []
    for kind, count in counts.items():
        for number in range(count):
            port = free_port()
            own = {
                **os.environ, **environment, "PYTHONPATH": str(ROOT), "PORT": str(port),
                "REDIS_URL": server.url if number % 2 else f"redis://127.0.0.1:{proxy.port}/0",
            }  # fmt: skip
            members.append(ServiceProcess(Role(f"{kind}-{number + 1}", own, folder)))
            if kind == "producer":
                urls.append(f"http://127.0.0.1:{port}")
    return members, urls


@contextmanager
def _kept_running(service: ChaosService) -> Iterator[None]:
    loop, done = launcher_loop(), asyncio.Event()
    keeping = asyncio.run_coroutine_threadsafe(_keep_running(service, done), loop)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(done.set)
        keeping.result(END_TIMEOUT_SECONDS)


async def _keep_running(service: ChaosService, done: asyncio.Event) -> None:
    keepers = [asyncio.create_task(_keep(service, member)) for member in service.members]
    await done.wait()
    for keeper in keepers:
        keeper.cancel()
    await asyncio.gather(*keepers, return_exceptions=True)
    for member in service.members:
        await member.process.stop(0)


async def _keep(service: ChaosService, member: ServiceProcess) -> None:
    try:
        await member.process.keep_running(
            partial(service.note_end, member),
            backoff=Backoff(MAX_RESTART_SECONDS, MAX_RESTART_SECONDS), max_failed_starts=math.inf,
        )  # fmt: skip
    except LaunchError as error:
        service.unexpected_exits.append(str(error))
