"""How long work stops after a worker is killed, and after the server returns."""

import random
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from tests.stress.chaos.plan import LEASE_SECONDS, ChaosPlan, settings
from tests.stress.chaos.service import ChaosService, running_service
from tests.stress.chaos.submissions import picture
from tests.support.cpu import cpu_shares
from tests.support.receiver import receiving
from tests.support.redis_server import server_binaries
from tests.support.service import wait_until

STREAM, GROUP = "{plates}:images", "workers"
IMAGE_MS = 800
ABSENCES_SECONDS = (10.0, 3.0, 3.0, 3.0, 3.0)
MOST_AFTER_KILL_SECONDS = LEASE_SECONDS + 2
MOST_AFTER_RETURN_SECONDS = 5.0
MOST_CPU_PERCENT = 20.0
_POLL_SECONDS = 0.005


@dataclass
class Recovery:
    """Seconds from a kill to the image's next execution, and what an absence of the server costs.

    `cpu_percent`: of one core, per process, over the longest absence.
    """

    server: str
    seed: int
    after_kill_seconds: list[float] = field(default_factory=list)
    after_return_seconds: list[float] = field(default_factory=list)
    cpu_percent: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether all is within its limit; the slowest kill stands for p99."""
        return (
            max(self.after_kill_seconds) <= MOST_AFTER_KILL_SECONDS
            and max(self.after_return_seconds) <= MOST_AFTER_RETURN_SECONDS
            and max(self.cpu_percent.values()) < MOST_CPU_PERCENT
        )

    def as_json(self) -> dict[str, object]:
        """Return all figures and the verdict, for printing."""
        return {**asdict(self), "passed": self.passed}

    def table(self) -> str:
        """Return a Markdown table."""
        kills, back = sorted(self.after_kill_seconds), self.after_return_seconds
        median = kills[len(kills) // 2]
        rows = {
            f"worker killed, {len(kills)} times, lease {LEASE_SECONDS:g} s: its image runs again "
            "after": f"median {median:.1f} s, longest {kills[-1]:.1f} s",
            f"server unavailable, {len(back)} times: work continues after its return within": (
                f"{max(back):.1f} s"
            ),
            "CPU of the busiest process while the server is unavailable": (
                f"{max(self.cpu_percent.values()):.1f} % of a core"
            ),
        }
        lines = [f"| {what} | {result} |" for what, result in rows.items()]
        return "\n".join(["| | |", "|---|---|", *lines])


def measure(kills: int, seed: int, server: str, folder: Path) -> Recovery:
    """Measure in an empty folder, with one image and one fault at a time."""
    plan = ChaosPlan(
        images=0, kills=kills, seed=seed, poisons=0, server=server,
        workers=3, producers=1, image_ms=IMAGE_MS,
    )  # fmt: skip
    found, rng = Recovery(server, seed), random.Random(seed)
    with receiving() as receiver:
        environment = settings(plan, poison="", backend_url=receiver.url)
        binary = server_binaries()[server]
        with (
            running_service(plan, binary, folder, receiver, environment) as service,
            service.redis() as redis,
        ):
            _wait_joined(redis, service)
            for number in range(kills):
                found.after_kill_seconds.append(_after_kill(service, redis, number, rng))
            for number, seconds in enumerate(ABSENCES_SECONDS):
                found.after_return_seconds.append(
                    _after_return(service, redis, kills + number, seconds, found.cpu_percent)
                )
    return found


def _after_kill(service: ChaosService, redis: Redis, number: int, rng: random.Random) -> float:
    redis.xadd(STREAM, {"v": 1, "task_id": f"task-{number}", "image": picture(number)})
    owner = _next_owner(redis, "")
    time.sleep(rng.uniform(0, IMAGE_MS / 2000))
    [member] = [m for m in service.members if str(m.process.pid) == owner.rsplit("-", 2)[1]]
    killed = time.monotonic()
    service.kill(member)
    _next_owner(redis, owner)
    seconds = time.monotonic() - killed
    _wait_done(service, redis)
    _wait_joined(redis, service)
    return round(seconds, 3)


def _next_owner(redis: Redis, former: str) -> str:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        rows: Any = redis.xpending_range(STREAM, GROUP, "-", "+", 1)
        if rows and rows[0]["consumer"].decode() != former:
            return str(rows[0]["consumer"].decode())
        time.sleep(_POLL_SECONDS)
    raise AssertionError("no worker takes the image")


def _members_of_group(redis: Redis, service: ChaosService) -> list[str]:
    """Return the running workers that have joined the group."""
    living = {str(member.process.pid) for member in service.members}
    try:
        consumers: Any = redis.xinfo_consumers(STREAM, GROUP)
    except ResponseError:
        return []  # no worker has made the group yet
    names = [consumer["name"].decode() for consumer in consumers]
    return [name for name in names if name.rsplit("-", 2)[-2:][0] in living]


def _wait_joined(redis: Redis, service: ChaosService) -> None:
    wanted = sum(member.kind == "worker" for member in service.members)
    wait_until(lambda: len(_members_of_group(redis, service)) == wanted, 30, lambda: service.logs)


def _after_return(
    service: ChaosService, redis: Redis, number: int, absence: float, cpu_percent: dict[str, float]
) -> float:
    service.server.kill()
    shares = cpu_shares({member.name: member.process.pid for member in service.members}, absence)
    if not cpu_percent:
        cpu_percent |= {name: round(100 * share, 1) for name, share in shares.items()}
    service.server.start()
    back = time.monotonic()
    redis.xadd(STREAM, {"v": 1, "task_id": f"task-{number}", "image": picture(number)})
    _next_owner(redis, "")
    seconds = time.monotonic() - back
    _wait_done(service, redis)
    return round(seconds, 3)


def _wait_done(service: ChaosService, redis: Redis) -> None:
    wait_until(lambda: redis.xlen(STREAM) == 0, 30, lambda: service.logs)
