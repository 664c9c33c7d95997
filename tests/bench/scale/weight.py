"""What an image weighs: memory while it waits, CPU and bytes on its way, by object or inline."""

from dataclasses import dataclass

from consumer.worker.stream import WorkStreams
from schemas.contract.messages import ImageMessage
from schemas.redis.client import connect, connect_blocking
from schemas.redis.task_store import TaskStore
from schemas.settings.base import Settings
from tests.bench.scale.fill import enqueue
from tests.bench.scale.pressure import LIMITS, SLOTS, settle
from tests.bench.scale.server import KEYS, LEASE_MS, TASK_TTL_MS, MeasuredServer

INLINE_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Weight:
    """Of one image on its whole way through Redis: submit, read, begin, finish.

    `memory` is what it takes while it waits. Bytes; CPU in seconds.
    """

    what: str
    inline_bytes: int
    per_task: int
    memory: float
    redis_cpu: float
    redis_bytes: float


def measure(server: MeasuredServer, images: int) -> list[Weight]:
    """Weigh images in storage, in tasks of one and of fifty, and inline ones."""
    inline = max(50, images // 20)
    return [
        _weigh(server, "object", images, 1, 0),
        _weigh(server, "object", images, 50, 0),
        _weigh(server, "inline", inline, 1, INLINE_BYTES),
    ]


def _weigh(
    server: MeasuredServer, what: str, images: int, per_task: int, inline_bytes: int
) -> Weight:
    meter = server.meter
    meter.redis.flushall()
    data = bytes(inline_bytes) or None

    async def run() -> tuple[float, float, float]:
        settings = Settings(redis_url=server.redis_url)
        async with connect(settings) as redis, connect_blocking(settings, 1) as reader:
            store = TaskStore(redis, KEYS, task_ttl_ms=TASK_TTL_MS)
            stream = WorkStreams(
                redis, reader, streams=(KEYS.images,), consumer="scales", lease_ms=LEASE_MS
            )
            await stream.ensure_groups()
            before = meter.snapshot()
            await enqueue(store, images, storage=None, per_task=per_task, inline=data)
            memory = meter.since(before).memory_bytes
            while entries := await stream.read(SLOTS):
                for entry in entries:
                    message = ImageMessage.from_fields(entry.fields, LIMITS)
                    await settle(store, entry.id, message)
                if not meter.queued():
                    break
            work = meter.since(before)
            return memory, work.cpu_seconds, work.bytes_in + work.bytes_out

    memory, cpu_seconds, moved = server.run(run)
    return Weight(
        what, inline_bytes, per_task, memory / images, cpu_seconds / images, moved / images
    )
