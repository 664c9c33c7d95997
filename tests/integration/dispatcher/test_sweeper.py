"""Sweeping: what has an owner stays, what has none goes; on a real server and real files."""

import os
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis.exceptions import ResponseError

from consumer.dispatcher.deliveries import DeliveryStore
from consumer.dispatcher.sweeper import PAGE, Sweeper, SweepRules
from consumer.metrics import DispatcherMetrics
from schemas.keys import DISPATCHER_GROUP, WORKERS_GROUP
from schemas.layout import input_key, output_key, quarantine_key
from schemas.messages import ImageMessage
from schemas.tasks import ImageResult
from tests.integration.dispatcher.conftest import TTL_MS, World, dispatching, eventually

pytestmark = pytest.mark.integration

HOUR = 3600


def sweeper(world: World, **rules: float) -> Sweeper:
    defaults = {
        "sweep_interval": 60, "lease": 30, "upload_grace": 900, "task_timeout": HOUR,
        "consumer_idle": 600, "task_ttl": 48 * HOUR, "dead_letter_ttl": 48 * HOUR,
    }  # fmt: skip
    return Sweeper(
        world.redis, world.keys, world.tasks,
        DeliveryStore(world.redis, world.keys, task_ttl_ms=TTL_MS),
        storage=world.storage, metrics=DispatcherMetrics(CollectorRegistry()),
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


async def test_old_files_of_no_task_go_young_ones_stay(world: World) -> None:
    await put(world, input_key("old", 0), age=1000)
    await put(world, output_key("old", "covered_ж.webp"), age=1000)
    young = await put(world, input_key("young", 0), age=800)
    await sweeper(world).sweep()
    assert world.files() == {young}
    assert not (world.folder / "old").exists()


async def test_original_of_a_direct_message_waits_as_long_as_its_entry(world: World) -> None:
    queued = int((time.time() - 5000) * 1000)
    await world.redis.xadd(world.keys.images, {"v": "1", "task_id": "direct"}, id=f"{queued}-0")
    waiting = await put(world, input_key("direct", 0), age=5100)
    await put(world, input_key("lost", 0), age=6000)
    await sweeper(world).sweep()
    assert world.files() == {waiting}
    await world.redis.delete(world.keys.images, world.keys.chore("files"))
    await sweeper(world).sweep()
    assert world.files() == set()


async def test_dead_letters_are_forgotten_with_their_tasks(world: World) -> None:
    old = int((time.time() - TTL_MS / 1000 - 60) * 1000)
    await world.redis.xadd(world.keys.dead_letters, {"reason": "x"}, id=f"{old}-0")
    await world.redis.xadd(world.keys.dead_letters, {"reason": "y"})
    await sweeper(world).sweep()
    assert await world.redis.xlen(world.keys.dead_letters) == 1


async def test_dead_letters_and_kept_originals_have_a_life_of_their_own(world: World) -> None:
    old = int((time.time() - 3 * HOUR) * 1000)
    await world.redis.xadd(world.keys.dead_letters, {"reason": "old"}, id=f"{old}-0")
    await world.redis.xadd(world.keys.dead_letters, {"reason": "young"})
    await world.complete_task("ended")
    young = {
        await put(world, quarantine_key("ended", "1-0"), age=HOUR),
        await put(world, quarantine_key("unknown", "1-0"), age=HOUR),
    }
    await put(world, quarantine_key("expired", "1-0"), age=3 * HOUR)
    await put(world, input_key("unknown", 0), age=3 * HOUR)
    await world.begin_task("deleted")
    await world.tasks.delete("deleted")
    await put(world, quarantine_key("deleted", "1-0"))  # written as the task was deleted
    await sweeper(world, dead_letter_ttl=2 * HOUR).sweep()
    assert world.files() == young | {"ended/output/covered_0.webp"}
    assert not (world.folder / "expired").exists()
    assert await world.redis.xlen(world.keys.dead_letters) == 1


async def test_an_upload_that_still_goes_on_is_kept_whole(world: World) -> None:
    kept = {
        await put(world, input_key("slow", 0), age=5000),
        await put(world, input_key("slow", 1), age=10),
    }
    await sweeper(world).sweep()
    assert world.files() == kept


async def test_files_of_a_live_task_stay_however_old(world: World) -> None:
    await world.begin_task("t1", 2)
    kept = {
        await put(world, key, age=99 * HOUR)
        for key in (input_key("t1", 0), input_key("t1", 1), output_key("t1", "a.webp"))
    }
    await sweeper(world).sweep()
    assert world.files() == kept


async def test_originals_of_an_ended_task_go_results_stay(world: World) -> None:
    await world.complete_task("t1")
    assert "t1/input/0" in world.files()
    await sweeper(world).sweep()
    assert world.files() == {"t1/output/covered_0.webp"}


async def test_nothing_is_left_of_a_deleted_task(world: World) -> None:
    await world.complete_task("t1")
    await world.tasks.delete("t1")
    await sweeper(world).sweep()
    assert world.files() == set()


async def test_files_go_when_the_task_has_run_out(world: World) -> None:
    await world.complete_task("t1")
    await put(world, output_key("t1", "covered_0.webp"), age=48 * HOUR)
    await world.storage.delete_prefix("t1/input/")
    await sweeper(world).sweep()
    assert world.files() == {"t1/output/covered_0.webp"}
    await world.redis.delete(world.keys.task("t1"))
    await sweeper(world, sweep_interval=0.0001).sweep()
    assert world.files() == {"t1/output/covered_0.webp"}, "somebody else's turn still holds"
    await world.redis.delete(world.keys.chore("files"))
    await sweeper(world).sweep()
    assert world.files() == set()


async def test_what_is_not_a_file_of_a_task_is_not_touched(world: World) -> None:
    kept = {
        await put(world, key, age=99 * HOUR)
        for key in ("readme.txt", "backup/2024.tar", "other/app/data/x", "t1/thumbs/a.png")
    }
    half_written(world.folder / "backup/2025.tar#1", 99 * HOUR)
    kept.add("backup/2025.tar#1")
    await sweeper(world).sweep()
    assert world.files() == kept


async def test_half_written_files_of_killed_processes_go(world: World) -> None:
    await world.complete_task("t1")
    await world.storage.delete_prefix("t1/input/")
    for name, age in (("t1/output/x.webp#1", 1000), ("gone/input/0#2", 1000), ("new/input/0#1", 5)):
        half_written(world.folder / name, age)
    kept = await put(world, output_key("t1", "a#1.webp"), age=1000)
    await sweeper(world).sweep()
    assert world.files() == {kept, "new/input/0#1", "t1/output/covered_0.webp"}
    assert not (world.folder / "gone").exists()


async def test_more_tasks_than_a_page(world: World) -> None:
    for number in range(PAGE + 50):
        await put(world, input_key(f"old{number}", 0), age=1000)
    await world.begin_task("live")
    swept = sweeper(world)
    await swept.sweep()
    assert world.files() == {"live/input/0"}
    assert swept._metrics.swept_objects._value.get() == PAGE + 50


async def test_of_many_sweepers_one_does_a_chore_per_interval(world: World) -> None:
    await sweeper(world).sweep()
    old = await put(world, input_key("old", 0), age=1000)
    await sweeper(world).sweep()
    assert world.files() == {old}
    assert 0 < await world.redis.pttl(world.keys.chore("files")) <= 54_000


async def test_silent_tasks_are_given_up_others_are_kept_from_running_out(world: World) -> None:
    await send_half(world, "silent")
    await send_half(world, "slow")
    await world.redis.delete(world.keys.images)
    now = time.time() * 1000
    await world.redis.zadd(
        world.keys.open_tasks, {"silent": now - 2 * HOUR * 1000, "slow": now - HOUR * 900}
    )
    await world.redis.pexpire(world.keys.task("slow"), 5000)
    await sweeper(world, task_ttl=2 * HOUR).sweep()
    silent, slow = await world.tasks.state("silent"), await world.tasks.state("slow")
    assert silent is not None
    assert slow is not None
    assert (silent.status, silent.errors[0].code) == ("failed", "timed_out")
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


async def test_more_silent_tasks_than_a_page(world: World) -> None:
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
    await world.redis.delete(world.keys.chore("redis"))
    await sweeper(world, lease=0).sweep()
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
    await sweeper(world, lease=0).sweep()
    assert await waiting(world) == [("queued", 0)]
    await world.begin_task("held")
    await lose_stream(world, "held", seconds=29)
    await world.redis.delete(world.keys.chore("redis"))
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


async def test_a_full_server_is_swept_too(world: World) -> None:
    old = int((time.time() - TTL_MS / 1000 - 60) * 1000)
    await world.redis.xadd(world.keys.dead_letters, {"reason": "x"}, id=f"{old}-0")
    await world.redis.config_set("maxmemory", 1)
    try:
        await sweeper(world).sweep()
    finally:
        await world.redis.config_set("maxmemory", 0)
    assert await world.redis.xlen(world.keys.dead_letters) == 0


async def test_silent_consumers_that_hold_nothing_are_forgotten(world: World) -> None:
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
    await world.redis.delete(world.keys.chore("redis"))
    await sweeper(world, consumer_idle=0).sweep()
    assert await consumers(world.keys.events, DISPATCHER_GROUP) == {b"busy"}
    assert await consumers(world.keys.images, WORKERS_GROUP) == {b"w"}


async def test_groups_that_do_not_exist_yet_are_no_error(world: World) -> None:
    await world.complete_task("t1")
    await world.redis.xgroup_destroy(world.keys.images, WORKERS_GROUP)
    await sweeper(world).sweep()
    assert await world.redis.exists(world.keys.chore("files"))


async def test_events_go_with_their_age_and_not_before(world: World) -> None:
    now = int(time.time() * 1000)
    for age_hours in (50, 49, 47, 1):
        entry = f"{now - age_hours * HOUR * 1000}-0"
        await world.redis.xadd(world.keys.events, {"n": age_hours}, id=entry)
    await world.redis.zadd(world.keys.due_deliveries("upload"), {"a": 0, "b": now})
    await sweeper(world).sweep()
    left = [fields[b"n"] for _, fields in await world.redis.xrange(world.keys.events)]
    assert left == [b"47", b"1"]
    assert await world.redis.zrange(world.keys.due_deliveries("upload"), 0, -1) == [b"b"]


async def test_the_dispatcher_sweeps(world: World) -> None:
    await put(world, input_key("old", 0), age=1000)
    async with dispatching(world.settings(sweep_interval_seconds=0.1)):

        async def swept() -> bool:
            return not world.files()

        await eventually(swept)
        await put(world, input_key("later", 0), age=1000)
        await eventually(swept)
