"""Throughput and cost with 1, 2, 4, … workers, each of which can do five images a second."""

from dataclasses import dataclass

from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.task_store import TaskStore
from tests.bench.scale.fill import enqueue
from tests.bench.scale.meter import Work
from tests.bench.scale.server import MeasuredServer
from tests.bench.scale.workers import IMAGE_SECONDS, WorkerProcesses
from tests.support.service import wait_until

WARM_UP_SECONDS = 1.5
JOIN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Point:
    """Figures with one number of workers; seconds, bytes and round trips are per image."""

    workers: int
    queued: int
    images_per_second: float
    share_of_ideal: float
    redis_cpu: float
    workers_cpu: float
    round_trips: float
    redis_bytes_in: float
    redis_bytes_out: float
    redis_log_bytes: float
    read_microseconds: float
    script_microseconds: float


def measure(
    server: MeasuredServer,
    processes: WorkerProcesses,
    workers: int,
    seconds: float,
    *,
    behind: int = 0,
    each: float = 1 / IMAGE_SECONDS,
) -> Point:
    """Let so many workers run on a full queue.

    Args:
        behind: images that wait after those which the workers get to.
        each: images a second that one worker could do at best.
    """
    meter = server.meter
    meter.redis.flushall()
    ideal = workers * each
    plenty = int(ideal * (seconds + WARM_UP_SECONDS + 2) * 1.2) + 20

    async def fill(store: TaskStore) -> None:
        await enqueue(store, plenty, storage=server.storage)
        await enqueue(store, behind, storage=None)

    server.with_store(fill)
    meter.redis.xgroup_create(meter.keys.images, WORKERS_GROUP, "0")
    queued = meter.queued()
    processes.start(workers)
    try:
        wait_until(lambda: meter.members() >= workers, JOIN_SECONDS, "the workers to join")
        meter.rate(WARM_UP_SECONDS)
        before, busy = meter.snapshot(), processes.cpu_seconds()
        rate = meter.rate(seconds)
        work, busy = meter.since(before), processes.cpu_seconds() - busy
    finally:
        processes.stop()
    return _point(workers, queued, rate, ideal, work, busy)


def _point(workers: int, queued: int, rate: float, ideal: float, work: Work, busy: float) -> Point:
    images = rate * work.seconds
    return Point(
        workers=workers,
        queued=queued,
        images_per_second=rate,
        share_of_ideal=rate / ideal,
        redis_cpu=work.cpu_seconds / images,
        workers_cpu=busy / images,
        round_trips=work.round_trips / images,
        redis_bytes_in=work.bytes_in / images,
        redis_bytes_out=work.bytes_out / images,
        redis_log_bytes=work.log_bytes / images,
        read_microseconds=work.microseconds("xreadgroup"),
        script_microseconds=work.microseconds("evalsha"),
    )
