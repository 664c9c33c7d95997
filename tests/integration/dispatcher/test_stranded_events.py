"""Events and deliveries that an administrator's command has hidden are found again."""

import time

import pytest

from schemas.redis.keys import DISPATCHER_GROUP
from tests.integration.dispatcher.administrator import COMMANDS, Command
from tests.integration.dispatcher.conftest import World, dispatching, eventually
from tests.integration.dispatcher.sweeping import sweeper

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("command", COMMANDS)
async def test_events_are_delivered_again(world: World, command: Command) -> None:
    events = world.keys.events
    await world.redis.xgroup_create(events, DISPATCHER_GROUP, "0", mkstream=True)
    for task_id in ("t1", "t2"):
        await world.complete_task(task_id)
    await world.redis.xreadgroup(DISPATCHER_GROUP, "ghost", {events: ">"}, count=1)
    await command(world, events, DISPATCHER_GROUP)
    await world.complete_task("t3")
    settings = world.settings(
        backend_callback_url="http://127.0.0.1:9/", sweep_interval_seconds=0.2
    )
    async with dispatching(settings):

        async def all_have_one() -> bool:
            return all([await world.delivery(f"t{n}", "callback") for n in (1, 2, 3)])

        await eventually(all_have_one)
    assert await world.redis.zcard(world.keys.due_deliveries("callback")) == 3


@pytest.mark.parametrize("loss", ["xdel", "xtrim", "del"])
async def test_events_that_were_deleted_unread_are_published_again(world: World, loss: str) -> None:
    await world.complete_task("t1")
    [(entry, before)] = await world.redis.xrange(world.keys.events)
    await getattr(world.redis, {"xdel": "xdel", "xtrim": "xtrim", "del": "delete"}[loss])(
        world.keys.events, *{"xdel": [entry], "xtrim": [0], "del": []}[loss]
    )
    for _ in range(2):
        await world.redis.delete(world.keys.job_lock("redis"))
        await sweeper(world).sweep()
        [(_, after)] = await world.redis.xrange(world.keys.events)
        assert after == before


async def test_reported_events_are_not_delivered_again(world: World) -> None:
    settings = world.settings(
        backend_callback_url="http://127.0.0.1:9/", sweep_interval_seconds=0.1
    )
    await world.complete_task("t1")
    async with dispatching(settings):
        await world.delivery_state("t1", "callback", "due")
    # What was before is not sent to an address that is set later.
    both = world.settings(
        backend_callback_url="http://127.0.0.1:9/", backend_upload_url="http://127.0.0.1:9/",
        sweep_interval_seconds=0.1,
    )  # fmt: skip
    await world.redis.delete(world.keys.job_lock("redis"))
    async with dispatching(both) as dispatcher:
        await world.complete_task("t2")
        await world.delivery_state("t2", "upload", "due")

        async def swept() -> bool:
            return bool(await world.redis.exists(world.keys.job_lock("redis")))

        await eventually(swept)
        assert dispatcher.count("plate_stranded_entries_total") == 0
    assert await world.delivery("t1", "upload") == {}


@pytest.mark.parametrize("command", ["del", "zadd"])
async def test_a_due_delivery_that_was_removed_is_sent(world: World, command: str) -> None:
    settings = world.settings(
        backend_callback_url="http://127.0.0.1:9/", sweep_interval_seconds=0.1
    )
    await world.complete_task("t1")
    async with dispatching(settings):
        await world.delivery_state("t1", "callback", "due")
    key = world.keys.due_deliveries("callback")
    if command == "del":
        await world.redis.delete(key)
    else:
        await world.redis.zadd(key, {"evt_t1_callback": 9e15})
    await world.redis.delete(world.keys.job_lock("redis"))
    await sweeper(world).sweep()
    due = await world.redis.zrangebyscore(key, "-inf", time.time() * 1000 + 1)
    assert due == [b"evt_t1_callback"]


async def test_a_lock_without_an_end_does_not_stop_the_sweeping(world: World) -> None:
    await world.redis.set(world.keys.job_lock("redis"), "x")
    await sweeper(world, sweep_interval_seconds=0.1).sweep()
    assert 0 < await world.redis.pttl(world.keys.job_lock("redis")) <= 90
