"""One measurement, from the first worker to the last figure."""

import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from consumer.host import usable_cpus
from tests.bench.scale import aftermath, curve, depth, pressure, submit, weight
from tests.bench.scale.curve import Point
from tests.bench.scale.depth import Steps
from tests.bench.scale.pressure import Pressure
from tests.bench.scale.server import MeasuredServer, measured_server
from tests.bench.scale.submit import SubmitRate
from tests.bench.scale.weight import Weight
from tests.bench.scale.workers import WorkerProcesses, fast_detector
from tests.support.redis_server import server_binaries

SHALLOW = 2_000
MAX_WORKER_RATE = 1_000
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
class ScaleFigures:
    """All that was measured; `deep` has the most workers and as many images as the plan says,
    `fast_detector` one worker whose detector takes no time."""

    server: str
    cores: int
    cpu: str
    at: str
    points: list[Point] = field(default_factory=list)
    deep: Point | None = None
    fast_detector: Point | None = None
    steps: list[Steps] = field(default_factory=list)
    weights: list[Weight] = field(default_factory=list)
    pressure: Pressure | None = None
    submits: list[SubmitRate] = field(default_factory=list)
    event_redis_cpu: float = 0

    def as_json(self) -> dict[str, object]:
        """For printing."""
        return asdict(self)


def run(plan: Plan, folder: Path, report: Callable[[str], None]) -> ScaleFigures:
    """Measure in an empty folder; `report` gets a line for each thing that is measured next."""
    with measured_server(server_binaries()[plan.server], folder) as place:
        version = place.meter.redis.info("server")
        name = f"{plan.server} {version.get('valkey_version') or version['redis_version']}"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        figures = ScaleFigures(name, usable_cpus(), _processor(), now)
        _throughput(plan, place, folder, figures, report)
        report("one worker whose detector takes no time")
        figures.fast_detector = curve.measure(
            place, WorkerProcesses({**place.environment, **fast_detector()}, folder), 1,
            plan.point_seconds, each=MAX_WORKER_RATE,
        )  # fmt: skip
        report("tasks over HTTP")
        figures.submits = submit.measure(place, plan.submit_seconds)
        report("ended tasks")
        figures.event_redis_cpu = aftermath.redis_cpu_per_task(place, plan.ended_tasks)
        report("weight of an image")
        figures.weights = weight.measure(place, plan.weighed)
        report("Redis under pressure")
        figures.pressure = pressure.measure(place, plan.pressed)
        place.meter.redis.flushall()
        for images in (SHALLOW, plan.deep):
            report(f"steps behind {images} images")
            figures.steps.append(depth.measure(place, images))
    return figures


def _throughput(
    plan: Plan, place: MeasuredServer, folder: Path, figures: ScaleFigures,
    report: Callable[[str], None],
) -> None:  # fmt: skip
    workers = WorkerProcesses(place.environment, folder)
    for count in plan.points:
        report(f"{count} workers")
        figures.points.append(curve.measure(place, workers, count, plan.point_seconds))
    most = max(plan.points)
    report(f"{most} workers, {plan.deep} images queued")
    figures.deep = curve.measure(place, workers, most, plan.point_seconds, behind=plan.deep)


def _processor() -> str:
    """Return the CPU's name, where the system has it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or os.uname().machine
