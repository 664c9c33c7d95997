"""One unforeseen value stops nothing else, and is logged once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
from prometheus_client import CollectorRegistry

from cli.admin.deliveries import DeliveryFilter
from consumer.metrics import DispatcherMetrics
from schemas.storage.layout import input_key
from tests.integration.dispatcher.conftest import (
    TTL_MS,
    Running,
    World,
    dispatching,
    eventually,
    items,
)
from tests.integration.dispatcher.receiver import Receiver, listening, respond
from tests.integration.dispatcher.sweeping import lose_stream, put, send_half, sweeper, waiting

pytestmark = pytest.mark.integration

ROUNDS = 5


async def spoil(world: World, task_id: str, value: str) -> None:
    """Overwrite a task's key, as an administrator might by mistake."""
    key = world.keys.task(task_id)
    await world.redis.delete(key)
    if value == "string":
        await world.redis.set(key, "x")
    elif value == "list":
        await world.redis.rpush(key, "x")
    else:
        await world.redis.hset(key, mapping={"status": "processing"})


@pytest.mark.parametrize("value", ["string", "list", "half a hash"])
async def test_a_bad_task_stops_no_job(world: World, value: str) -> None:
    for task_id in ("bad", "inactive"):
        await send_half(world, task_id)
    await world.begin_task("lost", 2)
    await spoil(world, "bad", value)
    await lose_stream(world, "lost")
    long_ago = int((time.time() - TTL_MS / 1000 - 60) * 1000)
    await world.redis.zadd(world.keys.open_tasks, {"bad": 0, "inactive": long_ago, b"\xff": 0})
    for stream in (world.keys.events, world.keys.dead_letters):
        await world.redis.xadd(stream, {"n": 1}, id=f"{long_ago}-0")
    await put(world, input_key("bad", 0), age=1000)
    old = await put(world, input_key("old", 0), age=1000)
    registry = CollectorRegistry()
    swept = sweeper(world, metrics=DispatcherMetrics(registry))
    with structlog.testing.capture_logs() as logs:
        for _ in range(ROUNDS):
            await world.redis.delete(world.keys.job_lock("redis"), world.keys.job_lock("files"))
            await swept.sweep()
    state = await world.tasks.state("inactive")
    assert state is not None
    assert state.status == "failed"
    assert await waiting(world) == [("lost", 0), ("lost", 1)]
    assert await world.redis.xlen(world.keys.events) == 1, "the old one is gone, one has ended"
    assert await world.redis.xlen(world.keys.dead_letters) == 0
    assert old not in world.files()
    assert await world.redis.zscore(world.keys.open_tasks, b"\xff") is None
    left_out = [line for line in logs if line["event"] == "left out of the sweep"]
    assert left_out
    assert len({line["job"] for line in left_out}) == len(left_out), "each job is logged once"
    assert not [line for line in logs if "exc_info" in line]
    restore, expire = (
        registry.get_sample_value("plate_sweep_failures_total", {"job": job})
        for job in ("restore", "expire")
    )
    assert restore in (0, ROUNDS)
    assert expire == ROUNDS


@pytest.mark.parametrize(
    "key", ["images", "events", "dead_letters", "open_tasks", "dead_deliveries"]
)
async def test_a_bad_shared_key_stops_no_other_job(world: World, key: str) -> None:
    await world.redis.delete(name := getattr(world.keys, key))
    await world.redis.set(name, "x")
    old = int((time.time() - TTL_MS / 1000 - 60) * 1000)
    others = {world.keys.events, world.keys.dead_letters} - {name}
    for stream in others:
        await world.redis.xadd(stream, {"n": 1}, id=f"{old}-0")
    file = await put(world, input_key("old", 0), age=1000)
    for _ in range(2):
        await world.redis.delete(world.keys.job_lock("redis"), world.keys.job_lock("files"))
        await sweeper(world).sweep()
    for stream in others:
        assert await world.redis.xlen(stream) == 0
    assert (file in world.files()) == (key == "images"), "files need to know what waits"


@asynccontextmanager
async def delivering(world: World, url: str) -> AsyncIterator[Running]:
    settings = world.settings(backend_callback_url=url, backend_upload_url=None)
    async with dispatching(settings) as running:
        yield running


@pytest.mark.parametrize("value", ["string", "half a hash"])
async def test_bad_deliveries_hold_up_no_other(world: World, value: str) -> None:
    due = time.time() * 1000 - 10_000
    for number in range(6):  # more than there are slots
        delivery = f"evt_bad{number}_callback"
        if value == "string":
            await world.redis.set(world.keys.delivery(delivery), "x")
        else:
            await world.redis.hset(world.keys.delivery(delivery), "state", "due")
        await world.redis.zadd(world.keys.due_deliveries("callback"), {delivery: due + number})
    await world.redis.zadd(world.keys.due_deliveries("callback"), {b"\xff": due})
    async with listening(Receiver(respond(200))) as receiver, delivering(world, receiver.url) as d:
        await world.complete_task("t1")
        await world.delivery_state("t1", "callback", "delivered")
        assert d.count("plate_deliveries_total", kind="callback", outcome="unusable") == 6
        assert [found async for found in items(world).select(DeliveryFilter())] == []
    assert await world.redis.zscore(world.keys.due_deliveries("callback"), b"\xff") is None


async def test_bad_events_hold_up_no_other(world: World) -> None:
    await world.redis.set(world.keys.delivery("evt_bad_callback"), "x")
    await world.complete_task("bad")
    await world.complete_task("odd")
    await world.redis.hset(world.keys.task("odd"), "status", "nonsense")
    async with listening(Receiver(respond(200))) as receiver, delivering(world, receiver.url) as d:

        async def both_seen() -> bool:
            return d.count("plate_events_total", type="failed") >= 2

        await eventually(both_seen)
        await world.complete_task("t1")
        await world.delivery_state("t1", "callback", "delivered")
        await asyncio.sleep(0)
        assert not d.task.done()
