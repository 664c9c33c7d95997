"""One measurement, from the first worker to the last figure."""

import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from consumer.cpus import usable_cpus
from tests.bench.scale import aftermath, curve, depth, pressure, submit, weight
from tests.bench.scale.bench import Bench, bench
from tests.bench.scale.crew import Crew, crew, unhindered
from tests.bench.scale.curve import Point
from tests.bench.scale.depth import Steps
from tests.bench.scale.pressure import Pressure
from tests.bench.scale.submit import SubmitRate
from tests.bench.scale.weight import Weight
from tests.support.redis_server import server_binaries

SHALLOW = 2_000
UNHINDERED_RATE = 1_000
"""More images a second than one worker process can do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured; times in seconds, for each figure."""

    server: str = "valkey"
    points: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    point_seconds: float = 6
    deep: int = 100_000
    weighed: int = 2_000
    pressed: int = 8_000
    submit_seconds: float = 4
    ended_tasks: int = 300


QUICK = {
    "points": (1, 8, 64), "point_seconds": 2, "deep": 10_000, "weighed": 400, "pressed": 1_500,
    "submit_seconds": 1, "ended_tasks": 60,
}  # fmt: skip


@dataclass
class Figures:
    """All that was measured; `deep` has the most workers and as many images as the plan says,
    `unhindered` one worker whose detector takes no time."""

    server: str
    cores: int
    cpu: str
    at: str
    points: list[Point] = field(default_factory=list)
    deep: Point | None = None
    unhindered: Point | None = None
    steps: list[Steps] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    pressure: Pressure | None = None
    submits: list[SubmitRate] = field(default_factory=list)
    event_redis_cpu: float = 0

    def as_json(self) -> dict[str, object]:
        """For printing."""
        return asdict(self)


def run(plan: Plan, folder: Path, tell: Callable[[str], None]) -> Figures:
    """Measure in an empty folder; `tell` gets a line for each thing that is measured next."""
    with bench(server_binaries()[plan.server], folder) as place:
        version = place.meter.redis.info("server")
        name = f"{plan.server} {version.get('valkey_version') or version['redis_version']}"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        figures = Figures(name, usable_cpus(), _processor(), now)
        with crew(place.environment, folder, max(plan.points)) as workers:
            _throughput(plan, place, workers, figures, tell)
        tell("one worker whose detector takes no time")
        with crew({**place.environment, **unhindered()}, folder, 1) as worker:
            figures.unhindered = curve.measure(
                place, worker, 1, plan.point_seconds, each=UNHINDERED_RATE
            )
        tell("tasks over HTTP")
        figures.submits = submit.measure(place, plan.submit_seconds)
        tell("ended tasks")
        figures.event_redis_cpu = aftermath.redis_cpu_per_task(place, plan.ended_tasks)
        tell("weight of an image")
        figures.weights = weight.measure(place, plan.weighed)
        tell("Redis under pressure")
        figures.pressure = pressure.measure(place, plan.pressed)
        place.meter.redis.flushall()
        for images in (SHALLOW, plan.deep):
            tell(f"steps behind {images} images")
            figures.steps.append(depth.measure(place, images))
    return figures


def _throughput(
    plan: Plan, place: Bench, workers: Crew, figures: Figures, tell: Callable[[str], None]
) -> None:
    for count in plan.points:
        tell(f"{count} workers")
        figures.points.append(curve.measure(place, workers, count, plan.point_seconds))
    most = max(plan.points)
    tell(f"{most} workers, {plan.deep} images queued")
    figures.deep = curve.measure(place, workers, most, plan.point_seconds, behind=plan.deep)


def _processor() -> str:
    """The CPU's name, where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or os.uname().machine
