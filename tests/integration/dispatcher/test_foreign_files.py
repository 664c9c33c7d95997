"""Foreign files in the storage folder, and folders that cannot be swept: the rest is swept."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from consumer.dispatcher.sweeper.context import PAGE
from schemas.storage.layout import input_key, input_prefix, output_key
from schemas.storage.storage import Storage, StorageError, StorageTimeoutError
from tests.integration.dispatcher.conftest import World, dispatching, eventually
from tests.integration.dispatcher.sweeping import HOUR, half_written, put, sweeper

pytestmark = pytest.mark.integration


def not_utf8(top: Path) -> None:
    Path(os.fsdecode(os.fsencode(top) + b"/IMG\xff.jpg")).touch()


def control_character(top: Path) -> None:
    (top / "a\nb").touch()


def link_to_itself(top: Path) -> None:
    (top / "loop").symlink_to("loop")


def link_to_the_top(top: Path) -> None:
    (top / "self").symlink_to(top)


def lost_and_found(top: Path) -> None:
    folder = top / "lost+found"
    folder.mkdir(mode=0o000)
    if os.access(folder, os.R_OK):  # this user may read anything: instead, what no user can list
        (folder / "up").symlink_to(top)


def loop_in_a_folder_named_as_a_task(top: Path) -> None:
    (top / "backup").mkdir()
    (top / "backup" / "up").symlink_to(top)


ENTRIES = [
    not_utf8, control_character, link_to_itself, link_to_the_top, lost_and_found,
    loop_in_a_folder_named_as_a_task,
]  # fmt: skip


@pytest.mark.parametrize("foreign", ENTRIES)
async def test_a_foreign_entry_stops_no_sweep(
    world: World, foreign: Callable[[Path], None]
) -> None:
    old = [await put(world, input_key(name, 0), age=1000) for name in ("a", "zz")]
    half_written(world.folder / "gone/input/0#2", 1000)
    kept = await put(world, input_key("young", 0), age=5)
    foreign(world.folder)
    async with dispatching(world.settings(sweep_interval_seconds=0.1)):

        async def swept() -> bool:
            return not any((world.folder / name).exists() for name in (*old, "gone/input/0#2"))

        await eventually(swept)
    assert kept in world.files()


async def test_a_folder_that_cannot_be_listed_is_logged_once_and_left_whole(world: World) -> None:
    young = await put(world, output_key("odd", "a.webp"), age=5)
    old = await put(world, input_key("odd", 0), age=99 * HOUR)
    not_utf8(world.folder / "odd" / "output")
    sweeping = sweeper(world)
    with capture_logs() as lines:
        for _ in range(3):
            await sweeping.sweep()
            await world.redis.delete(world.keys.job_lock("files"))
        (world.folder / "even").mkdir()
        (world.folder / "even" / "up").symlink_to(world.folder)
        await sweeping.sweep()
    assert {young, old} <= world.files()
    reported = [line for line in lines if line["event"] == "left out of the sweep"]
    assert [(line["count"], line["first"]) for line in reported] == [(1, "odd"), (2, "even")]


class Refusing(Storage):
    """Storage that lets nothing of one task be deleted."""

    error: StorageError = StorageError("delete: PermissionDeniedError")

    async def delete(self, *keys: str) -> None:
        if any(key.startswith("stuck/") for key in keys):
            raise self.error
        await super().delete(*keys)


async def test_a_folder_that_cannot_be_deleted_keeps_no_other_from_it(world: World) -> None:
    world.storage = Refusing.open(world.folder.as_uri())
    stuck = await put(world, input_key("stuck", 0), age=1000)
    for name in ("a", "zz"):
        await put(world, input_key(name, 0), age=1000)
    with capture_logs() as lines:
        await sweeper(world).sweep()
    assert world.files() == {stuck}
    assert [line["first"] for line in lines if line["event"] == "left out of the sweep"] == [
        "stuck"
    ]


async def test_storage_that_hangs_ends_the_sweep(world: World) -> None:
    """Each of many folders would wait for as long."""
    storage = world.storage = Refusing.open(world.folder.as_uri())
    storage.error = StorageTimeoutError("delete: TimeoutError")
    await put(world, input_key("stuck", 0), age=1000)
    with pytest.raises(StorageTimeoutError):
        await sweeper(world).sweep()


class Stopping(Storage):
    """Storage that stops the process as it deletes the first folder."""

    stop: asyncio.Event
    deleted = 0

    async def delete(self, *keys: str) -> None:
        self.stop.set()
        self.deleted += 1
        await super().delete(*keys)


async def test_a_stop_ends_a_sweep_of_files(world: World) -> None:
    storage = world.storage = Stopping.open(world.folder.as_uri())
    storage.stop = asyncio.Event()
    for number in range(20):
        await put(world, input_key(f"old{number}", 0), age=1000)
    await sweeper(world, stop=storage.stop).sweep()
    assert storage.deleted == 1
    assert len(world.files()) == 19


async def test_a_stop_ends_a_listing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(PAGE // 10):
        await put(world, input_key(f"young{number}", 0))
    stop, listed = asyncio.Event(), []
    list_all = Storage.list

    def listing(self: Storage, prefix: str = "") -> object:
        listed.append(prefix)
        stop.set()
        return list_all(self, prefix)

    monkeypatch.setattr(Storage, "list", listing)
    await sweeper(world, stop=stop).sweep()
    assert len(listed) == 1


async def test_a_stop_ends_a_sweep_of_tasks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        await world.begin_task(f"t{number}")
    await world.redis.zadd(world.keys.open_tasks, {f"t{number}": 1 for number in range(3)})
    await world.redis.delete(world.keys.images)
    stop, restored, restore = asyncio.Event(), [], world.tasks.restore

    async def once(task_id: str, *, min_idle_ms: int) -> int:
        restored.append(task_id)
        stop.set()
        return await restore(task_id, min_idle_ms=min_idle_ms)

    monkeypatch.setattr(world.tasks, "restore", once)
    await sweeper(world, stop=stop).sweep()
    assert restored == ["t0"]


async def test_a_stop_does_not_wait_for_storage_that_hangs(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def hang(self: Storage, *keys: str) -> None:
        asked.set()
        await asyncio.Future()

    monkeypatch.setattr(Storage, "delete", hang)
    await put(world, input_key("old", 0), age=1000)
    async with dispatching(world.settings(drain_seconds=0.2)) as running:
        await asked.wait()
        await running.finish(within_seconds=5)
    assert input_prefix("old") + "0" in world.files()
