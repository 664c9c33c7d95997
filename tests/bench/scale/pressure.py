"""What Redis needs for an image when it is busy: many clients at once, nothing but its steps."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from consumer.worker.stream import WorkStreams
from schemas.contract.messages import ContractLimits, ImageMessage
from schemas.contract.tasks import ImageResult
from schemas.redis.client import connect
from schemas.redis.task_store import TaskStore
from schemas.settings.base import Settings
from tests.bench.scale.fill import enqueue
from tests.bench.scale.server import KEYS, LEASE_MS, TASK_TTL_MS, MeasuredServer

CLIENTS = 32
SLOTS = 4
LIMITS = ContractLimits(max_total=1000, inline_max_bytes=1 << 20)


@dataclass(frozen=True, slots=True)
class Pressure:
    """Read, begin and finish of images, as fast as one client process gets them done.

    `redis_cores`: CPU that Redis used of one; `redis_cpu`: seconds per image.
    """

    images_per_second: float
    redis_cores: float
    redis_cpu: float


def measure(server: MeasuredServer, images: int) -> Pressure:
    """Settle so many images by many clients at once."""
    meter = server.meter
    meter.redis.flushall()

    async def run() -> Pressure:
        async with connect(Settings(redis_url=server.redis_url)) as redis:
            store = TaskStore(redis, KEYS, task_ttl_ms=TASK_TTL_MS)
            # Through the same pool: these reads never have to wait.
            stream = WorkStreams(
                redis, redis, streams=(KEYS.images,), consumer="client", lease_ms=LEASE_MS
            )
            await stream.ensure_groups()
            await enqueue(store, images, storage=None)
            before = meter.snapshot()
            turns = iter(range(-(-images // SLOTS)))
            async with asyncio.TaskGroup() as group:
                for _ in range(CLIENTS):
                    # A store of its own, like a process: what shares one shares round trips too.
                    own = TaskStore(redis, KEYS, task_ttl_ms=TASK_TTL_MS)
                    group.create_task(_client(own, stream, turns))
            work = meter.since(before)
            assert meter.queued() == 0, "images are left over"
            return Pressure(
                images / work.seconds,
                work.cpu_seconds / work.seconds,
                work.cpu_seconds / images,
            )

    return server.run(run)


async def _client(store: TaskStore, stream: WorkStreams, turns: Iterator[int]) -> None:
    for _ in turns:
        for entry in await stream.read(SLOTS):
            await settle(store, entry.id, ImageMessage.from_fields(entry.fields, LIMITS))


async def settle(store: TaskStore, entry: str, message: ImageMessage) -> None:
    """Begin and finish an image, with a result that is not read."""
    await store.begin(entry, message)
    result = ImageResult(filename=message.output_name, url="/", needs_review=False)
    await store.finish(entry, message, result, {"stream_id": entry})
