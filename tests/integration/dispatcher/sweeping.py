"""What the tests of sweeping share: a sweeper, and things that it finds."""

import asyncio
import os
import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from consumer.dispatcher.sweeper.context import SweepContext
from consumer.dispatcher.sweeper.sweeper import Sweeper
from consumer.health import Health
from consumer.metrics import DispatcherMetrics
from consumer.settings import DispatcherSettings
from schemas.contract.messages import ImageMessage
from schemas.redis.corrections import CorrectionStore
from schemas.redis.keys import WORKERS_GROUP
from tests.integration.dispatcher.conftest import TTL_MS, World

HOUR = 3600
SETTINGS = DispatcherSettings(_env_file=None)


def sweep_context(
    world: World,
    *,
    stop: asyncio.Event | None = None,
    metrics: DispatcherMetrics | None = None,
    **settings: float,
) -> SweepContext:
    """Default settings but for some, which need not be allowed ones."""
    return SweepContext(
        world.redis, world.keys, world.storage, world.tasks,
        CorrectionStore(world.redis, world.keys, task_ttl_ms=TTL_MS),
        metrics or DispatcherMetrics(CollectorRegistry()), Health(),
        SETTINGS.model_copy(update=settings), stop or asyncio.Event(),
    )  # fmt: skip


def sweeper(world: World, **options: object) -> Sweeper:
    return Sweeper(sweep_context(world, **options))  # type: ignore[arg-type]


async def put(world: World, key: str, *, age: float = 0) -> str:
    await world.storage.put(key, b"data")
    moment = time.time() - age
    os.utime(world.folder / key, (moment, moment))
    return key


def half_written(path: Path, age: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    os.utime(path, (time.time() - age,) * 2)


async def send_half(world: World, task_id: str) -> None:
    """A task of a direct publisher that sent one of two images, which a worker has taken up."""
    message = ImageMessage(task_id=task_id, total=2, image=b"bytes")
    entry = await world.redis.xadd(world.keys.images, message.to_fields())
    await world.redis.xreadgroup(WORKERS_GROUP, "w", {world.keys.images: ">"})
    assert await world.tasks.begin(entry.decode(), message) == "run"


async def lose_stream(world: World, *inactive: str, seconds: float = 31) -> None:
    """Delete the work stream; these tasks were last active some seconds ago."""
    await world.redis.delete(world.keys.images)
    before = (time.time() - seconds) * 1000
    await world.redis.zadd(world.keys.open_tasks, dict.fromkeys(inactive, before))


async def waiting(world: World) -> list[tuple[str, int]]:
    """Task and index of what lies in the work stream."""
    rows = await world.redis.xrange(world.keys.images)
    return [(fields[b"task_id"].decode(), int(fields[b"index"])) for _, fields in rows]
