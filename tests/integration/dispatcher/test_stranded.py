"""Entries that an administrator's command has stranded, are delivered again."""

import time
from typing import Any

import pytest

from consumer.dispatcher.sweeper.streams import StreamJobs
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import ImageResult, TaskStatus
from schemas.redis.keys import WORKERS_GROUP
from tests.integration.dispatcher.administrator import COMMANDS, Command, delete_consumer
from tests.integration.dispatcher.conftest import World
from tests.integration.dispatcher.sweeping import sweep_context, sweeper, waiting

pytestmark = pytest.mark.integration

RESULT = ImageResult(filename="a.webp", url="/a")


async def submit(world: World, task_id: str, total: int) -> None:
    messages = [
        ImageMessage(task_id=task_id, index=index, total=total, object=f"{task_id}/input/{index}",
                     output=f"covered_{index}.webp")
        for index in range(total)
    ]  # fmt: skip
    await world.tasks.submit(task_id, messages, max_backlog=10_000)


async def work_off(world: World) -> list[tuple[str, int]]:
    """Be a worker that takes over what is abandoned and reads what is new, until nothing comes."""
    done: list[tuple[str, int]] = []
    for _ in range(20):
        rows: Any = await world.redis.xautoclaim(
            world.keys.images, WORKERS_GROUP, "worker", 30_000, "0-0"
        )
        taken = [row for row in rows[1] if row[1]]
        reply: Any = await world.redis.xreadgroup(
            WORKERS_GROUP, "worker", {world.keys.images: ">"}, count=100
        )
        taken += reply[0][1] if reply else []
        if not taken:
            return done
        for entry, fields in taken:
            task_id, index = fields[b"task_id"].decode(), int(fields[b"index"])
            message = ImageMessage(
                task_id=task_id, index=index, object=fields[b"object"].decode(),
                output=fields[b"output"].decode(),
            )  # fmt: skip
            await world.tasks.begin(entry.decode(), message)
            await world.tasks.finish(entry.decode(), message, RESULT, {})
            done.append((task_id, index))
    raise AssertionError("what was done comes again and again")


async def let_leases_end(world: World) -> None:
    """What a consumer still holds counts as abandoned."""
    for name in ("ghost", "foreign"):
        rows: Any = await world.redis.xpending_range(
            world.keys.images, WORKERS_GROUP, "-", "+", 100, name
        )
        for row in rows:
            await world.redis.xclaim(
                world.keys.images, WORKERS_GROUP, name, 0, [row["message_id"]], idle=60_000
            )


async def assert_done(world: World, *task_ids: str) -> None:
    """All of them are completed, each with one event, and nothing is left in the stream."""
    for task_id in task_ids:
        state = await world.tasks.state(task_id)
        assert state is not None
        assert state.status is TaskStatus.COMPLETED
        assert len(state.results) == state.progress.total
    reported = [
        fields[b"task_id"].decode() for _, fields in await world.redis.xrange(world.keys.events)
    ]
    assert sorted(reported) == sorted(task_ids)
    assert await world.redis.xlen(world.keys.images) == 0


@pytest.mark.parametrize("command", COMMANDS)
async def test_images_are_delivered_again(world: World, command: Command) -> None:
    await submit(world, "t1", 6)
    await world.redis.xreadgroup(WORKERS_GROUP, "ghost", {world.keys.images: ">"}, count=2)
    await command(world, world.keys.images, WORKERS_GROUP)
    await submit(world, "t2", 2)
    await sweeper(world, lease_seconds=30).sweep()
    # As after a lease: what is held by a consumer that has read it from the group made anew.
    assert len(set(await work_off(world))) >= 6
    await world.redis.delete(world.keys.job_lock("redis"))
    await sweeper(world, lease_seconds=0).sweep()
    pending: Any = await world.redis.xpending_range(world.keys.images, WORKERS_GROUP, "-", "+", 100)
    for row in pending:
        await world.redis.xclaim(
            world.keys.images, WORKERS_GROUP, "foreign", 0, [row["message_id"]], idle=60_000
        )
    await work_off(world)
    await assert_done(world, "t1", "t2")


async def test_what_is_held_or_waits_is_left_alone(world: World) -> None:
    await submit(world, "t1", 3)
    await world.redis.xreadgroup(WORKERS_GROUP, "w", {world.keys.images: ">"}, count=1)
    [before] = await world.redis.xpending_range(world.keys.images, WORKERS_GROUP, "-", "+", 9)
    await sweeper(world, lease_seconds=0).sweep()
    [after] = await world.redis.xpending_range(world.keys.images, WORKERS_GROUP, "-", "+", 9)
    assert (after["message_id"], after["consumer"]) == (before["message_id"], b"w")
    assert len(await waiting(world)) == 3


async def test_a_stranded_delivery_is_not_counted(world: World) -> None:
    await submit(world, "t1", 1)
    await world.redis.xreadgroup(WORKERS_GROUP, "ghost", {world.keys.images: ">"})
    await delete_consumer(world, world.keys.images, WORKERS_GROUP)
    await sweeper(world, lease_seconds=30).sweep()
    [row] = await world.redis.xpending_range(
        world.keys.images, WORKERS_GROUP, "-", "+", 9, idle=30_000
    )
    assert row["times_delivered"] == 0


async def test_more_stranded_entries_than_a_page(world: World) -> None:
    for number in range(5):
        await submit(world, f"t{number}", 4)
    rows = await world.redis.xreadgroup(WORKERS_GROUP, "w", {world.keys.images: ">"}, count=20)
    entries = [entry for entry, _ in rows[0][1]]
    stranded = {entry for at, entry in enumerate(entries) if at in (0, 3, 4, 5, 6, 7, 12, 19)}
    await world.redis.xack(world.keys.images, WORKERS_GROUP, *stranded)
    jobs = StreamJobs(sweep_context(world, lease_seconds=30), pending_page=3, max_images=2)
    await jobs.adopt_entries(world.keys.images)
    held = await world.redis.xpending_range(
        world.keys.images, WORKERS_GROUP, "-", "+", 99, idle=30_000
    )
    assert {row["message_id"] for row in held} == stranded


async def test_a_living_worker_takes_back_what_was_taken_from_it(world: World) -> None:
    await submit(world, "t1", 2)
    rows = await world.redis.xreadgroup(WORKERS_GROUP, "w", {world.keys.images: ">"})
    entries = [entry.decode() for entry, _ in rows[0][1]]
    await world.redis.xgroup_delconsumer(world.keys.images, WORKERS_GROUP, "w")
    assert await world.tasks.renew("w", entries) == []
    await world.redis.xack(world.keys.images, WORKERS_GROUP, *entries)
    await sweeper(world, lease_seconds=30).sweep()
    assert await world.tasks.renew("w", entries) == [], "also from the sweeper"
    held = await world.redis.xpending_range(world.keys.images, WORKERS_GROUP, "-", "+", 9)
    assert [row["consumer"] for row in held] == [b"w", b"w"]


async def test_a_lost_entry_is_restored_while_others_are_in_work(world: World) -> None:
    await submit(world, "held", 1)
    await submit(world, "t2", 3)
    await world.redis.xreadgroup(WORKERS_GROUP, "w", {world.keys.images: ">"}, count=1)
    lost = (await world.redis.xrange(world.keys.images))[2]
    await world.redis.xdel(world.keys.images, lost[0])
    before = (time.time() - 31) * 1000
    await world.redis.zadd(world.keys.open_tasks, {"t2": before, "held": before})
    await sweeper(world).sweep()
    assert await waiting(world) == [("held", 0), ("t2", 0), ("t2", 2), ("t2", 1)]


async def test_a_task_times_out_though_an_older_entry_of_another_is_there(world: World) -> None:
    await submit(world, "stays", 1)
    await world.redis.xreadgroup(WORKERS_GROUP, "w", {world.keys.images: ">"})
    message = ImageMessage(task_id="inline", image=b"bytes")
    entry = await world.redis.xadd(world.keys.images, message.to_fields())
    await world.tasks.begin(entry.decode(), message)
    await world.redis.xdel(world.keys.images, entry)
    await world.redis.zadd(world.keys.open_tasks, {"inline": 1})
    await sweeper(world).sweep()
    state = await world.tasks.state("inline")
    assert state is not None
    assert state.errors[0].code == "timed_out"


@pytest.mark.parametrize("removal", ["zrem", "del", "zadd"])
async def test_open_tasks_that_were_removed_from_their_set(world: World, removal: str) -> None:
    await submit(world, "t1", 2)
    await world.complete_task("ended")
    if removal == "zrem":
        await world.redis.zrem(world.keys.open_tasks, "t1")
    elif removal == "zadd":
        await world.redis.zadd(world.keys.open_tasks, {"t1": 9e15})
    else:
        await world.redis.delete(world.keys.open_tasks)
    await world.redis.delete(world.keys.images)
    await sweeper(world).sweep()
    [(task_id, active)] = await world.redis.zrange(world.keys.open_tasks, 0, -1, withscores=True)
    assert task_id == b"t1"
    assert active <= time.time() * 1000 + 1
    await world.redis.zadd(world.keys.open_tasks, {"t1": 1})
    await world.redis.delete(world.keys.job_lock("redis"))
    await sweeper(world, task_timeout_seconds=1e9).sweep()
    assert await waiting(world) == [("t1", 0), ("t1", 1)]


async def test_renamed_stream(world: World) -> None:
    await submit(world, "t1", 2)
    await world.redis.rename(world.keys.images, "{plates}:elsewhere")
    await world.redis.xgroup_create(world.keys.images, WORKERS_GROUP, "0", mkstream=True)
    await world.redis.zadd(world.keys.open_tasks, {"t1": 1})
    await sweeper(world, task_timeout_seconds=1e9).sweep()
    await work_off(world)
    await assert_done(world, "t1")
