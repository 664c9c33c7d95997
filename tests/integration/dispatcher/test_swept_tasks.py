"""Sweeping tasks: inactive ones end, and what the stream has lost is added again."""

import time

import pytest
from redis.exceptions import ResponseError

from consumer.dispatcher.sweeper.context import PAGE
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import ImageResult
from schemas.storage.layout import input_key
from tests.integration.dispatcher.conftest import World
from tests.integration.dispatcher.sweeping import HOUR, lose_stream, send_half, sweeper, waiting

pytestmark = pytest.mark.integration


async def test_inactive_tasks_fail_and_others_do_not_expire(world: World) -> None:
    await send_half(world, "inactive")
    await send_half(world, "slow")
    await world.redis.delete(world.keys.images)
    now = time.time() * 1000
    await world.redis.zadd(
        world.keys.open_tasks, {"inactive": now - 2 * HOUR * 1000, "slow": now - HOUR * 900}
    )
    await world.redis.pexpire(world.keys.task("slow"), 5000)
    await sweeper(world, task_storage_ttl_hours=2).sweep()
    inactive, slow = await world.tasks.state("inactive"), await world.tasks.state("slow")
    assert inactive is not None
    assert slow is not None
    assert (inactive.status, inactive.errors[0].code) == ("failed", "timed_out")
    assert slow.status == "processing"
    assert await world.redis.pttl(world.keys.task("slow")) > 5000
    assert await world.redis.xlen(world.keys.events) == 1


async def test_a_step_that_was_refused_halfway_keeps_no_task_open(world: World) -> None:
    begun = await world.begin_task("t1", 2)
    result = ImageResult(filename="a.webp", url="/a")
    await world.redis.acl_setuser("default", enabled=True, commands=["-hincrby"])
    try:
        for entry, message in begun:
            with pytest.raises(ResponseError, match=r"hincrby|user executing"):
                await world.tasks.finish(entry, message, result, {})
    finally:
        await world.redis.acl_setuser("default", enabled=True, commands=["+hincrby"])
    for entry, message in begun:
        assert await world.tasks.finish(entry, message, result, {}) == "written"
    await world.redis.zadd(world.keys.open_tasks, {"t1": 1})
    await sweeper(world).sweep()
    state = await world.tasks.state("t1")
    assert state is not None
    assert (state.status, state.progress.done, len(state.results)) == ("completed", 2, 2)
    assert await world.redis.xlen(world.keys.events) == 1


async def test_more_inactive_tasks_than_a_page(world: World) -> None:
    names = [f"t{number}" for number in range(PAGE + 50)]
    for name in names:
        await send_half(world, name)
    await world.redis.delete(world.keys.images)
    await world.redis.zadd(world.keys.open_tasks, dict.fromkeys(names, 1))
    await sweeper(world).sweep()
    assert await world.redis.zcard(world.keys.open_tasks) == 0
    assert await world.redis.xlen(world.keys.events) == PAGE + 50


async def test_open_images_that_the_stream_has_lost_are_added_again(world: World) -> None:
    (entry, message), *_ = await world.begin_task("t1", 3)
    await world.tasks.finish(entry, message, ImageResult(filename="a.webp", url="/a"), {})
    before = {fields[b"index"]: fields for _, fields in await world.redis.xrange(world.keys.images)}
    await send_half(world, "direct")
    await lose_stream(world, "t1", "direct")
    await sweeper(world).sweep()
    assert await waiting(world) == [("t1", 1), ("t1", 2)]
    rows = await world.redis.xrange(world.keys.images)
    assert {fields[b"index"]: fields for _, fields in rows} == before
    await world.redis.delete(world.keys.job_lock("redis"))
    await sweeper(world, lease_seconds=0).sweep()
    assert len(await waiting(world)) == 2, "they wait there now"
    state = await world.tasks.state("t1")
    assert state is not None
    assert (state.status, state.progress.done) == ("processing", 1)


async def test_an_image_that_was_added_twice_counts_once(world: World) -> None:
    [(held, message)] = await world.begin_task("t1")
    await lose_stream(world, "t1")
    await sweeper(world).sweep()
    [(again, _)] = await world.redis.xrange(world.keys.images)
    result = ImageResult(filename="a.webp", url="/a")
    assert await world.tasks.finish(held, message, result, {}) == "completed"
    assert await world.tasks.begin(again.decode(), message) == "duplicate"
    assert await waiting(world) == []
    assert await world.redis.xlen(world.keys.events) == 1
    assert not [name for name in await world.redis.hkeys(world.keys.task("t1")) if b"entry" in name]


async def test_only_what_is_lost_is_added_again(world: World) -> None:
    await world.begin_task("queued")
    await sweeper(world, lease_seconds=0).sweep()
    assert await waiting(world) == [("queued", 0)]
    await world.begin_task("held")
    await lose_stream(world, "held", seconds=29)
    await world.redis.delete(world.keys.job_lock("redis"))
    await sweeper(world).sweep()
    assert await waiting(world) == [], "a worker may still hold it"


async def test_an_object_of_a_direct_publisher_is_added_again_whole(world: World) -> None:
    message = ImageMessage(
        task_id="direct", object=input_key("direct", 0), filename="ж.jpg", traceparent="00-1"
    )
    entry = await world.redis.xadd(world.keys.images, message.to_fields())
    await world.tasks.begin(entry.decode(), message)
    await lose_stream(world, "direct")
    await sweeper(world).sweep()
    [(_, fields)] = await world.redis.xrange(world.keys.images)
    assert fields == {k.encode(): str(v).encode() for k, v in message.to_fields().items()}


async def test_what_was_flushed_makes_no_new_task(world: World) -> None:
    [(entry, message)] = await world.begin_task("t1")
    await world.redis.flushall()
    assert await world.tasks.begin(entry, message) == "gone"
    assert await world.redis.dbsize() == 0
