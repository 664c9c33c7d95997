"""Sweeping what piles up, and who does it when."""

import time

import pytest

from schemas.redis.keys import DISPATCHER_GROUP, WORKERS_GROUP
from schemas.storage.layout import input_key
from tests.integration.dispatcher.conftest import TTL_MS, World, dispatching, eventually
from tests.integration.dispatcher.sweeping import HOUR, put, sweeper

pytestmark = pytest.mark.integration


async def test_of_many_sweepers_one_does_a_job_per_interval(world: World) -> None:
    await sweeper(world).sweep()
    old = await put(world, input_key("old", 0), age=1000)
    await sweeper(world).sweep()
    assert world.files() == {old}
    assert 0 < await world.redis.pttl(world.keys.job_lock("files")) <= 54_000


async def test_a_full_server_is_swept_too(world: World) -> None:
    old = int((time.time() - TTL_MS / 1000 - 60) * 1000)
    await world.redis.xadd(world.keys.dead_letters, {"reason": "x"}, id=f"{old}-0")
    await world.redis.config_set("maxmemory", 1)
    try:
        await sweeper(world).sweep()
    finally:
        await world.redis.config_set("maxmemory", 0)
    assert await world.redis.xlen(world.keys.dead_letters) == 0


async def test_idle_consumers_that_hold_nothing_are_removed(world: World) -> None:
    await world.complete_task("t1")
    await world.begin_task("held")
    await world.redis.xgroup_create(world.keys.events, DISPATCHER_GROUP, "0")
    for name in ("idle", "busy"):
        await world.redis.xgroup_createconsumer(world.keys.images, WORKERS_GROUP, name)
        await world.redis.xgroup_createconsumer(world.keys.events, DISPATCHER_GROUP, name)
    await world.redis.xreadgroup(DISPATCHER_GROUP, "busy", {world.keys.events: ">"})

    async def consumers(stream: str, group: str) -> set[bytes]:
        return {row["name"] for row in await world.redis.xinfo_consumers(stream, group)}

    await sweeper(world).sweep()
    assert await consumers(world.keys.events, DISPATCHER_GROUP) == {b"idle", b"busy"}
    await world.redis.delete(world.keys.job_lock("redis"))
    await sweeper(world, consumer_idle_seconds=0).sweep()
    assert await consumers(world.keys.events, DISPATCHER_GROUP) == {b"busy"}
    assert await consumers(world.keys.images, WORKERS_GROUP) == {b"w"}


async def test_groups_that_do_not_exist_yet_are_no_error(world: World) -> None:
    await world.complete_task("t1")
    await world.redis.xgroup_destroy(world.keys.images, WORKERS_GROUP)
    await sweeper(world).sweep()
    assert await world.redis.exists(world.keys.job_lock("files"))


async def test_events_go_with_their_age_and_not_before(world: World) -> None:
    now = int(time.time() * 1000)
    for age_hours in (50, 49, 47, 1):
        entry = f"{now - age_hours * HOUR * 1000}-0"
        await world.redis.xadd(world.keys.events, {"n": age_hours}, id=entry)
    indexes = world.keys.due_deliveries("upload"), world.keys.dead_deliveries
    for key in indexes:
        await world.redis.zadd(key, {"a": 0, "b": now})
    await sweeper(world).sweep()
    left = [fields[b"n"] for _, fields in await world.redis.xrange(world.keys.events)]
    assert left == [b"47", b"1"]
    assert [await world.redis.zrange(key, 0, -1) for key in indexes] == [[b"b"], [b"b"]]


async def test_the_dispatcher_sweeps(world: World) -> None:
    await put(world, input_key("old", 0), age=1000)
    async with dispatching(world.settings(sweep_interval_seconds=0.1)):

        async def swept() -> bool:
            return not world.files()

        await eventually(swept)
        await put(world, input_key("later", 0), age=1000)
        await eventually(swept)
