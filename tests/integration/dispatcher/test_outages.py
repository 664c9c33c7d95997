"""The dispatcher while Redis, storage or another dispatcher is unavailable."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
import structlog
from redis.exceptions import ConnectionError as RedisConnectionError

from consumer.dispatcher.deliveries import DeliveryStore
from consumer.dispatcher.events import EventHandler, EventReader
from consumer.dispatcher.webhook import DeliveryKind
from consumer.health import Health
from consumer.metrics import DispatcherMetrics
from schemas.redis.keys import DISPATCHER_GROUP
from schemas.redis.scripts import ensure_group
from schemas.redis.task_store import TaskStore
from schemas.storage.storage import Storage, StorageError
from tests.integration.dispatcher.conftest import (
    TTL_MS,
    CollectorRegistry,
    World,
    dispatching,
    eventually,
    opened_world,
)
from tests.integration.dispatcher.receiver import Receiver, callback, listening, wait_for
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration


def reader_of(
    world: World,
    handle: Callable[[str, Mapping[bytes, bytes]], Awaitable[None]],
    *,
    lease_seconds: float,
) -> EventReader:
    return EventReader(
        world.redis, world.redis, world.keys.events, handle, Health(), lease_seconds=lease_seconds
    )


async def test_redis_killed_and_started_again(own_redis: RedisServer, tmp_path: Path) -> None:
    async with (
        opened_world(own_redis.url, tmp_path / "storage") as world,
        listening(Receiver()) as receiver,
        dispatching(callback(world, receiver)) as running,
    ):
        await world.complete_task("t1")
        await world.delivery_state("t1", "callback", "delivered")
        with structlog.testing.capture_logs() as lines:
            own_redis.kill()
            await _noticed(lines)
            await asyncio.to_thread(own_redis.start)
            returned = asyncio.get_running_loop().time()
            await world.complete_task("t2")
            [_, second] = await receiver.posts(2)
        assert second.webhook_id == "evt_t2_callback"
        assert second.at - returned < 5
        assert not running.task.done()
        # One line per loop and outage, not one per attempt.
        assert sum(line["event"] == "interrupted" for line in lines) <= 4


async def _noticed(lines: list[dict[str, object]]) -> None:
    async def logged() -> bool:
        return any(line.get("loop") == "events" for line in lines)

    await eventually(logged)


async def test_a_response_while_redis_is_unavailable_is_recorded_later(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    release = asyncio.Event()
    async with (
        opened_world(own_redis.url, tmp_path / "storage") as world,
        listening(Receiver(wait_for(release))) as receiver,
        dispatching(callback(world, receiver)),
    ):
        await world.complete_task("t1")
        await receiver.posts(1)
        with structlog.testing.capture_logs() as lines:
            own_redis.kill()
            release.set()
            await _noticed(lines)
            await asyncio.to_thread(own_redis.start)
        await world.delivery_state("t1", "callback", "delivered")
    assert len(receiver.received) == 1


async def test_group_destroyed_and_everything_flushed(world: World) -> None:
    async with listening(Receiver()) as receiver, dispatching(callback(world, receiver)):
        await world.complete_task("t1")
        await receiver.posts(1)
        await world.redis.xgroup_destroy(world.keys.events, DISPATCHER_GROUP)
        await world.complete_task("t2")
        await receiver.posts(2)
        await world.redis.flushall()
        await world.redis.xgroup_create(world.keys.images, "workers", "0", mkstream=True)
        await world.complete_task("t3")
        await receiver.posts(3)
    assert [post.webhook_id for post in receiver.received] == [
        f"evt_t{number}_callback" for number in (1, 2, 3)
    ]


async def test_an_event_read_by_a_dispatcher_that_died_is_taken_over(world: World) -> None:
    await world.complete_task("t1")
    await world.redis.xgroup_create(world.keys.events, DISPATCHER_GROUP, "0")
    await world.redis.xreadgroup(DISPATCHER_GROUP, "dead", {world.keys.events: ">"})
    settings = {"lease_seconds": 0.2}
    async with (
        listening(Receiver()) as receiver,
        dispatching(callback(world, receiver, **settings)),
    ):
        [post] = await receiver.posts(1)
    assert post.webhook_id == "evt_t1_callback"


async def test_two_dispatchers_share_the_work_and_send_each_once(world: World) -> None:
    async with listening(Receiver()) as receiver:
        settings = callback(world, receiver)
        async with dispatching(settings), dispatching(settings):
            for number in range(20):
                await world.complete_task(f"t{number}")
            await receiver.posts(20)
            for number in range(20):
                await world.delivery_state(f"t{number}", "callback", "delivered")
    assert len({post.webhook_id for post in receiver.received}) == 20
    assert len(receiver.received) == 20


async def test_what_a_dispatcher_created_and_never_sent_is_found_by_another(world: World) -> None:
    await world.complete_task("t1")
    await world.redis.xgroup_create(world.keys.events, DISPATCHER_GROUP, "0")
    store = DeliveryStore(world.redis, world.keys, task_ttl_ms=TTL_MS)
    reply = await world.redis.xreadgroup(DISPATCHER_GROUP, "dead", {world.keys.events: ">"})
    [(entry, fields)] = reply[0][1]
    handler = EventHandler(
        store, world.storage, DispatcherMetrics(CollectorRegistry()),
        kinds=[DeliveryKind.CALLBACK], on_created=lambda: None,
    )  # fmt: skip
    await handler.handle(entry.decode(), fields)
    async with listening(Receiver()) as receiver, dispatching(callback(world, receiver)):
        await receiver.posts(1)


async def test_an_unusable_event_does_not_stop_the_others(world: World) -> None:
    broken = [
        {"hello": "world"},
        {"event_id": "e\r\nX: y", "type": "task.completed", "task_id": "t", "payload": "{}"},
        {"event_id": "evt_t", "type": "task.completed", "task_id": "t", "payload": "\xff{"},
        {b"event_id": b"\xff", "type": "task.failed", "task_id": "t", "payload": "{}"},
    ]
    for fields in broken:
        await world.redis.xadd(world.keys.events, fields)
    await world.complete_task("t1")
    async with (
        listening(Receiver()) as receiver,
        dispatching(callback(world, receiver)) as running,
    ):
        await receiver.posts(1)
        await world.delivery_state("t1", "callback", "delivered")
        assert running.count("plate_events_total", type="unusable") == len(broken)
        assert (await world.redis.xpending(world.keys.events, DISPATCHER_GROUP))["pending"] == 0


async def test_while_originals_cannot_be_deleted_nothing_is_sent(world: World) -> None:
    class Unavailable(Storage):
        is_unavailable = True

        async def delete_prefix(self, prefix: str) -> int:
            if self.is_unavailable:
                raise StorageError("unavailable")
            return await super().delete_prefix(prefix)

    storage = Unavailable.open(world.folder.as_uri())
    store = DeliveryStore(world.redis, world.keys, task_ttl_ms=TTL_MS)
    handler = EventHandler(
        store, storage, DispatcherMetrics(CollectorRegistry()),
        kinds=[DeliveryKind.CALLBACK], on_created=lambda: None,
    )  # fmt: skip
    reader = reader_of(world, handler.handle, lease_seconds=0)
    await world.complete_task("t1")
    await ensure_group(world.redis, world.keys.events, DISPATCHER_GROUP)
    await reader.read()
    await reader.reclaim()
    assert (await store.due(DeliveryKind.CALLBACK, 1)).total == 0
    assert (await world.redis.xpending(world.keys.events, DISPATCHER_GROUP))["pending"] == 1
    storage.is_unavailable = False
    await reader.reclaim()
    assert (await store.due(DeliveryKind.CALLBACK, 1)).total == 1
    assert world.files() == {"t1/output/covered_0.webp"}


async def test_what_an_interrupted_read_left_is_read_again_first(world: World) -> None:
    handled: list[bytes] = []
    outages = [RedisConnectionError("unavailable")]

    async def handle(entry: str, fields: Mapping[bytes, bytes]) -> None:
        if outages and fields[b"n"] == b"17":
            raise outages.pop()
        handled.append(fields[b"n"])
        await world.redis.xack(world.keys.events, DISPATCHER_GROUP, entry)

    for number in range(20):
        await world.redis.xadd(world.keys.events, {"n": number})
    reader = reader_of(world, handle, lease_seconds=60)
    await ensure_group(world.redis, world.keys.events, DISPATCHER_GROUP)
    await reader.read()
    with pytest.raises(RedisConnectionError):
        await reader.read()
    await world.redis.xadd(world.keys.events, {"n": 20})
    for _ in range(3):
        await reader.read()
    assert handled[-2:] == [b"17", b"20"]
    assert sorted(handled, key=int) == [b"%d" % number for number in range(21)]


async def test_more_pending_events_than_a_page_are_all_taken_over(world: World) -> None:
    for number in range(40):
        await world.complete_task(f"t{number}")
    await world.redis.xgroup_create(world.keys.events, DISPATCHER_GROUP, "0")
    await world.redis.xreadgroup(DISPATCHER_GROUP, "dead", {world.keys.events: ">"}, count=100)
    settings = {"lease_seconds": 0.2}
    async with (
        listening(Receiver()) as receiver,
        dispatching(callback(world, receiver, **settings)),
    ):
        await receiver.posts(40)
    assert len({post.webhook_id for post in receiver.received}) == 40


async def test_events_that_cannot_be_handled_do_not_hide_those_after_them(world: World) -> None:
    for number in range(20):
        await world.redis.xadd(world.keys.events, {"n": number})
    await world.redis.xgroup_create(world.keys.events, DISPATCHER_GROUP, "0")
    await world.redis.xreadgroup(DISPATCHER_GROUP, "dead", {world.keys.events: ">"})
    seen: list[int] = []

    async def handle(_: str, fields: Mapping[bytes, bytes]) -> None:
        seen.append(int(fields[b"n"]))

    reader = reader_of(world, handle, lease_seconds=0)
    await reader.reclaim()
    assert len(seen) == 16
    await reader.reclaim()
    assert seen == list(range(20))


async def test_redis_that_fails_as_an_upload_begins_does_not_delay_it_for_its_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease is longer than an upload may take: minutes."""
    locate, failures = TaskStore.locate_result, iter([RedisConnectionError("failover")])

    async def failing_once(store: TaskStore, task_id: str, name: str) -> object:
        for failure in failures:
            raise failure
        return await locate(store, task_id, name)

    monkeypatch.setattr(TaskStore, "locate_result", failing_once)
    async with listening(Receiver()) as receiver:
        settings = world.settings(
            backend_upload_url=f"{receiver.url}/upload", webhook_upload_timeout_seconds=300
        )
        async with dispatching(settings):
            await world.complete_task("t1")
            delivery = await world.delivery_state("t1", "upload", "delivered")
    assert delivery["attempts"] == "2"
