"""What the tests of sweeping share: a sweeper, and things that it finds."""

import os
import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from consumer.dispatcher.deliveries import DeliveryStore
from consumer.dispatcher.sweeper import Sweeper, SweepRules
from consumer.health import Health
from consumer.metrics import DispatcherMetrics
from schemas.contract.messages import ImageMessage
from schemas.redis.keys import WORKERS_GROUP
from tests.integration.dispatcher.conftest import TTL_MS, World

HOUR = 3600


def sweeper(world: World, **rules: float) -> Sweeper:
    defaults = {
        "sweep_interval": 60, "lease": 30, "upload_grace": 900, "task_timeout": HOUR,
        "consumer_idle": 600, "task_ttl": 48 * HOUR, "dead_letter_ttl": 48 * HOUR,
    }  # fmt: skip
    return Sweeper(
        world.redis, world.keys, world.tasks,
        DeliveryStore(world.redis, world.keys, task_ttl_ms=TTL_MS),
        storage=world.storage, metrics=DispatcherMetrics(CollectorRegistry()), health=Health(),
        rules=SweepRules(**{**defaults, **rules}),
    )  # fmt: skip


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


async def lose_stream(world: World, *silent: str, seconds: float = 31) -> None:
    """Delete the work stream; these tasks were last active some seconds ago."""
    await world.redis.delete(world.keys.images)
    before = (time.time() - seconds) * 1000
    await world.redis.zadd(world.keys.open_tasks, dict.fromkeys(silent, before))


async def waiting(world: World) -> list[tuple[str, int]]:
    """Task and index of what lies in the work stream."""
    rows = await world.redis.xrange(world.keys.images)
    return [(fields[b"task_id"].decode(), int(fields[b"index"])) for _, fields in rows]
