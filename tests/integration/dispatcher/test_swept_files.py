"""Sweeping files: what has an owner stays, what has none goes; on a real server and real files."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from consumer.dispatcher.sweeper.context import PAGE
from consumer.dispatcher.sweeper.files import folders
from consumer.metrics import DispatcherMetrics
from schemas.contract.messages import ImageMessage
from schemas.storage.layout import input_key, output_key, quarantine_key
from tests.integration.dispatcher.conftest import TTL_MS, World
from tests.integration.dispatcher.sweeping import HOUR, half_written, put, sweeper

pytestmark = pytest.mark.integration


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
    await world.redis.delete(world.keys.images, world.keys.job_lock("files"))
    await sweeper(world).sweep()
    assert world.files() == set()


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
    await sweeper(world, sweep_interval_seconds=0.0001).sweep()
    assert world.files() == {"t1/output/covered_0.webp"}, "another sweeper's lock still holds"
    await world.redis.delete(world.keys.job_lock("files"))
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


@pytest.mark.parametrize("ahead_ms", [9_999_999_999_999, 1_764_284_473_000_000])
async def test_an_original_waits_for_an_entry_whose_id_is_ahead_of_the_clock(
    world: World, ahead_ms: int
) -> None:
    original = await put(world, input_key("direct", 0), age=1200)
    gone = await put(world, input_key("gone", 0), age=49 * HOUR)
    entry = ImageMessage(task_id="direct", object=original).to_fields()
    await world.redis.xadd(world.keys.images, entry, id=f"{ahead_ms}-0")
    await sweeper(world).sweep()
    assert gone not in world.files()
    assert original in world.files()


async def test_a_listing_shows_tasks_and_nothing_else() -> None:
    async def listing() -> AsyncIterator[tuple[str, datetime]]:
        for key in ("photos.2024/input/x.jpg", "t1/input/0", "t1/thumbs/x", "ü/output/x"):
            yield key, datetime.now(UTC)

    assert [folder.task_id async for folder in folders(listing())] == ["t1"]


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
    registry = CollectorRegistry()
    await sweeper(world, metrics=DispatcherMetrics(registry)).sweep()
    assert world.files() == {"live/input/0"}
    assert registry.get_sample_value("plate_swept_objects_total") == PAGE + 50


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
    await sweeper(world, dead_letter_ttl_hours=2).sweep()
    assert world.files() == young | {"ended/output/covered_0.webp"}
    assert not (world.folder / "expired").exists()
    assert await world.redis.xlen(world.keys.dead_letters) == 1
