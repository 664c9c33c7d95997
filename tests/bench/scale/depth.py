"""Whether a long queue makes a step or a sweep dearer: behind few and many images."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from consumer.dispatcher.sweeper.context import SweepContext
from consumer.dispatcher.sweeper.sweeper import Sweeper
from consumer.health import Health
from consumer.metrics import DispatcherMetrics
from consumer.settings import DispatcherSettings
from consumer.worker.stream import Entry, WorkStreams
from schemas.contract.messages import ContractLimits, ImageMessage
from schemas.contract.tasks import ImageResult
from schemas.redis.client import connect, connect_blocking
from schemas.redis.corrections import CorrectionStore
from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.results import BeginResult, SubmitResult
from schemas.redis.task_store import TaskStore
from schemas.settings.base import Settings
from schemas.storage.storage import Storage
from tests.bench.scale.fill import IMAGES_PER_TASK, NO_LIMIT, enqueue, messages
from tests.bench.scale.meter import Meter
from tests.bench.scale.server import KEYS, LEASE_MS, TASK_TTL_MS, MeasuredServer

CALLS = 200
ROUNDS = 5
"""The best counts: whatever else runs on the machine only ever makes it slower."""

HELD = 256
"""Entries that living workers hold meanwhile: 64 workers with four each."""

SLOTS = 4
LIMITS = ContractLimits(max_total=1000, inline_max_bytes=1 << 20)


@dataclass(frozen=True, slots=True)
class Steps:
    """Microseconds of the server in one call of each step, and the client's wait for one read.

    `sweep_seconds`: one pass of the sweeper; `stale_sweep_seconds`: one where every open task has
    been silent for longer than TASK_TIMEOUT_SECONDS.
    """

    queued: int
    tasks: int
    server_microseconds: dict[str, float]
    read_wait_ms: float
    sweep_seconds: float
    stale_sweep_seconds: float


@dataclass(slots=True)
class _Probe:
    redis: Redis
    stream: WorkStreams
    store: TaskStore


def measure(server: MeasuredServer, images: int) -> Steps:
    """Take the queue up to so many images (they have no files), and time each step behind them."""

    async def run() -> Steps:
        async with _probe(server) as probe:
            await enqueue(probe.store, images - server.meter.queued(), storage=None)
            await probe.stream.ensure_groups()
            queued = server.meter.queued()
            tasks = int(await probe.redis.zcard(KEYS.open_tasks))
            held = await probe.stream.read(HELD)
            wait, steps = await _steps(probe, server.meter, [entry.id for entry in held])
            sweep = await _sweep(probe, server, task_timeout=3600)
            stale = await _sweep(probe, server, task_timeout=0.001)
            for entry in held:
                await probe.stream.acknowledge(entry.key)
            return Steps(queued, tasks, steps, wait, sweep, stale)

    return server.run(run)


@asynccontextmanager
async def _probe(server: MeasuredServer) -> AsyncIterator[_Probe]:
    settings = Settings(redis_url=server.redis_url)
    async with connect(settings) as redis, connect_blocking(settings, 1) as reader:
        stream = WorkStreams(
            redis, reader, streams=(KEYS.images,), consumer="probe", lease_ms=LEASE_MS
        )
        yield _Probe(redis, stream, TaskStore(redis, KEYS, task_ttl_ms=TASK_TTL_MS))


async def _steps(probe: _Probe, meter: Meter, held: list[str]) -> tuple[float, dict[str, float]]:
    """The client's median wait for a read in ms, and the server's µs for each step."""
    found: dict[str, float] = {}
    taken: list[Entry] = []
    waits: list[float] = []

    async def read() -> None:
        started = time.perf_counter()
        taken.extend(await probe.stream.read(SLOTS))
        waits.append(time.perf_counter() - started)

    async def begin() -> None:
        entry = taken[begun.pop()]
        message = ImageMessage.from_fields(entry.fields, LIMITS)
        assert await probe.store.begin(entry.id, message) is BeginResult.RUN

    async def finish() -> None:
        entry = taken[finished.pop()]
        message = ImageMessage.from_fields(entry.fields, LIMITS)
        result = ImageResult(filename=message.output_name, url="/", needs_review=False)
        await probe.store.finish(entry.id, message, result, {"stream_id": entry.id})

    async def submit() -> None:
        task = messages(IMAGES_PER_TASK)
        answer = await probe.store.submit(task[0].task_id, task, max_backlog=NO_LIMIT)
        assert answer is SubmitResult.ACCEPTED

    async def autoclaim() -> None:
        await probe.redis.xautoclaim(
            KEYS.images, WORKERS_GROUP, "probe", min_idle_time=LEASE_MS, count=16, justid=True
        )

    async def counted(name: str, command: str, call: Callable[[], Awaitable[object]]) -> None:
        rounds = []
        for _ in range(ROUNDS):
            before = meter.snapshot()
            for _ in range(CALLS // ROUNDS):
                await call()
            rounds.append(meter.since(before).microseconds(command))
        found[name] = min(rounds)

    await counted(f"read {SLOTS} (XREADGROUP)", "xreadgroup", read)
    begun, finished = list(range(len(taken)))[:CALLS], list(range(len(taken)))[:CALLS]
    await counted("begin", "evalsha", begin)
    await counted("finish", "evalsha", finish)
    await counted(f"submit of {IMAGES_PER_TASK}", "evalsha", submit)
    await counted(f"renew of {SLOTS}", "evalsha", lambda: probe.store.renew("probe", held[:SLOTS]))
    await counted("count (XLEN)", "xlen", probe.store.backlog)
    await counted(
        f"find abandoned entries, {HELD} in flight (XPENDING)", "xpending",
        lambda: probe.stream.abandoned(KEYS.images, 16),
    )  # fmt: skip
    await counted(f"XAUTOCLAIM, {HELD} in flight", "xautoclaim", autoclaim)
    for entry in taken[CALLS:]:
        await probe.stream.acknowledge(entry.key)
    return statistics.median(waits) * 1000, found


async def _sweep(probe: _Probe, server: MeasuredServer, *, task_timeout: float) -> float:
    """Seconds of one pass over what is in Redis."""
    settings = DispatcherSettings(
        _env_file=None, lease_seconds=LEASE_MS / 1000, task_timeout_seconds=task_timeout,
        task_storage_ttl_hours=TASK_TTL_MS / 3_600_000,
        dead_letter_ttl_hours=TASK_TTL_MS / 3_600_000,
    )  # fmt: skip
    storage = Storage.open(server.storage.as_uri())
    metrics = DispatcherMetrics(CollectorRegistry())
    context = SweepContext(
        probe.redis,
        KEYS,
        storage,
        probe.store,
        CorrectionStore(probe.redis, KEYS, task_ttl_ms=TASK_TTL_MS),
        metrics,
        Health(),
        settings,
        asyncio.Event(),
    )
    sweeper = Sweeper(context)
    started = time.monotonic()
    await sweeper.sweep_redis()
    return time.monotonic() - started
