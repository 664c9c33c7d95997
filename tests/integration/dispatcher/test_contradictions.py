"""A task ends though its hash was changed, or its stream was no stream for a while."""

from collections.abc import Mapping
from typing import Any

import pytest
import structlog
from redis.exceptions import ResponseError

from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import ImageResult, TaskStatus
from schemas.redis.keys import DISPATCHER_GROUP, WORKERS_GROUP
from schemas.storage.layout import input_key
from tests.integration.dispatcher.conftest import World, dispatching, eventually
from tests.integration.dispatcher.sweeping import put, sweeper

pytestmark = pytest.mark.integration

RESULT = ImageResult(filename="covered_0.webp", url="/a")


async def be_a_worker(world: World) -> int:
    """Read what is new; what contradicts its task becomes a dead letter, as in EntryHandler."""
    rows: Any = await world.redis.xreadgroup(WORKERS_GROUP, "w", {world.keys.images: ">"})
    entries: list[tuple[bytes, Mapping[bytes, bytes]]] = rows[0][1] if rows else []
    for entry, fields in entries:
        message = ImageMessage(
            task_id=fields[b"task_id"].decode(), index=int(fields[b"index"]),
            total=int(fields[b"total"]), object=fields[b"object"].decode(),
            output=fields[b"output"].decode(),
        )  # fmt: skip
        result = await world.tasks.begin(entry.decode(), message)
        if result == "run":
            await world.tasks.finish(entry.decode(), message, RESULT, {})
        elif result != "duplicate":
            await world.tasks.dead_letter(entry.decode(), reason=result, task_id=message.task_id)
    return len(entries)


async def sweep(world: World, task_id: str) -> None:
    """As if the task had been inactive for two hours."""
    await world.redis.zadd(world.keys.open_tasks, {task_id: 1}, xx=True)
    await world.redis.delete(world.keys.job_lock("redis"))
    await sweeper(world).sweep()


@pytest.mark.parametrize(
    ("field", "value"), [("total", "3"), ("total", "1"), ("image:0", "x"), ("outcome:0", "{}")]
)
async def test_images_that_contradict_their_task_come_a_few_times(
    world: World, field: str, value: str
) -> None:
    await world.tasks.submit(
        "t1",
        [ImageMessage(task_id="t1", index=index, total=2, object=input_key("t1", index),
                      output=f"covered_{index}.webp") for index in range(2)],
        max_backlog=9,
    )  # fmt: skip
    await world.redis.hset(world.keys.task("t1"), field, value)
    read = 0
    for _ in range(12):
        read += await be_a_worker(world)
        await sweep(world, "t1")
    state = await world.tasks.state("t1")
    assert state is not None
    assert state.status.is_final
    assert await world.redis.xlen(world.keys.events) == 1
    assert read <= 2 * 6
    assert await world.redis.xlen(world.keys.images) == 0


@pytest.mark.parametrize("done", [1, -1])
async def test_no_image_is_lost_for_a_wrong_count(world: World, done: int) -> None:
    begun = await world.begin_task("t1", 2)
    await world.redis.hset(world.keys.task("t1"), "done", done)
    for entry, message in begun:
        await world.tasks.finish(entry, message, RESULT, {})
    await sweep(world, "t1")
    state = await world.tasks.state("t1")
    assert state is not None
    assert (state.progress.done, len(state.results)) == (2, 2)
    assert await world.redis.xlen(world.keys.events) == 1


async def test_a_task_ends_though_its_event_could_not_be_published(world: World) -> None:
    [(entry, message)] = await world.begin_task("t1")
    await world.redis.set(world.keys.events, "x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await world.tasks.finish(entry, message, RESULT, {})
    await world.redis.delete(world.keys.events)
    assert await world.tasks.begin(entry, message) == "duplicate"
    await sweep(world, "t1")
    state = await world.tasks.state("t1")
    assert state is not None
    assert state.status is TaskStatus.COMPLETED
    assert len(state.results) == 1
    assert await world.redis.xlen(world.keys.events) == 1


async def test_a_task_that_was_ended_by_hand_is_reported(world: World) -> None:
    await world.begin_task("t1")
    await world.redis.hset(world.keys.task("t1"), "status", "failed")
    await sweep(world, "t1")
    [(_, event)] = await world.redis.xrange(world.keys.events)
    assert event[b"type"] == b"task.failed"
    assert await world.redis.zcard(world.keys.open_tasks) == 0


async def test_a_task_without_a_total_runs_out(world: World) -> None:
    await world.begin_task("t1")
    await world.redis.hdel(world.keys.task("t1"), "total")
    await world.redis.pexpire(world.keys.task("t1"), 5000)
    await sweep(world, "t1")
    assert 0 < await world.redis.pttl(world.keys.task("t1")) <= 5000


async def test_files_of_a_key_that_is_no_task_are_swept(world: World) -> None:
    await world.redis.set(world.keys.task("bad"), "x")
    await put(world, input_key("bad", 0), age=1000)
    await put(world, input_key("bad2", 0))
    await sweeper(world).sweep()
    assert world.files() == {input_key("bad2", 0)}


async def test_an_event_that_breaks_the_contract_is_read_once(world: World) -> None:
    settings = world.settings(
        backend_callback_url="http://127.0.0.1:9/", sweep_interval_seconds=0.1
    )
    await world.complete_task("t1")
    with structlog.testing.capture_logs() as logs:
        async with dispatching(settings):
            await world.delivery_state("t1", "callback", "due")
            await world.redis.xadd(world.keys.events, {"task_id": "t1", "type": "mine"})

            async def seen_and_swept_thrice() -> bool:
                return sum(line["event"] == "event unusable" for line in logs) > 0

            await eventually(seen_and_swept_thrice)
            for _ in range(3):
                await world.redis.delete(world.keys.job_lock("redis"))
                await sweeper(world, lease_seconds=0).sweep()
                held: Any = await world.redis.xpending(world.keys.events, DISPATCHER_GROUP)
                assert held["pending"] == 0
