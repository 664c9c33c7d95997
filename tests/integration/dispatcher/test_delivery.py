"""Webhooks from event to receiver, through a real dispatcher, whatever the receiver does."""

import asyncio
import base64
import json
import socket

import pytest
import structlog

from consumer.dispatcher.webhook_dispatcher import POLL_SECONDS
from tests.integration.dispatcher.conftest import World, dispatching, eventually
from tests.integration.dispatcher.receiver import (
    Receiver,
    both,
    callback,
    listening,
    respond,
    wait_for,
)

pytestmark = pytest.mark.integration


async def test_a_completed_task_is_uploaded_and_called_back(world: World) -> None:
    await world.complete_task("t1", [("covered_0.webp", b"zero"), ("covered_1.webp", b"one")])
    async with listening(Receiver()) as receiver, dispatching(both(world, receiver)) as running:
        posts = {post.path: post for post in await receiver.posts(2)}
        await world.delivery_state("t1", "upload", "delivered")
        await world.delivery_state("t1", "callback", "delivered")
        assert running.count("plate_deliveries_total", kind="upload", outcome="delivered") == 1
        assert running.count("plate_events_total", type="task.completed") == 1
    assert set(posts) == {"/upload", "/callback"}
    state = await world.tasks.state("t1")
    assert state is not None
    assert json.loads(posts["/callback"].body) == state.model_dump(mode="json")
    assert posts["/callback"].headers["Content-Type"] == "application/json"
    assert posts["/callback"].webhook_id == "evt_t1_callback"
    assert posts["/upload"].webhook_id == "evt_t1_upload"
    assert b"zero" in posts["/upload"].body
    assert b"one" in posts["/upload"].body
    assert len(receiver.received) == 2


async def test_images_go_into_the_field_that_is_set(world: World) -> None:
    await world.complete_task("t1", [("covered_0.webp", b"zero"), ("covered_1.webp", b"one")])
    async with listening(Receiver()) as receiver:
        settings = both(world, receiver, webhook_images_field="images[]")
        async with dispatching(settings):
            await world.delivery_state("t1", "upload", "delivered")
    [upload] = [post for post in receiver.received if post.path == "/upload"]
    assert upload.body.count(b'name="images[]"; filename="covered_') == 2


async def test_the_callback_is_the_payload_of_the_event_byte_for_byte(world: World) -> None:
    await world.fail_task("t1")
    [(_, fields)] = await world.redis.xrange(world.keys.events)
    async with listening(Receiver()) as receiver, dispatching(callback(world, receiver)):
        [post] = await receiver.posts(1)
    assert post.body == fields[b"payload"]
    assert "ф.jpg".encode() in post.body


async def test_a_failed_task_is_only_called_back(world: World) -> None:
    await world.fail_task("t1")
    await world.complete_task("t2")
    async with listening(Receiver()) as receiver, dispatching(both(world, receiver)):
        await receiver.posts(3)
    assert sorted(post.webhook_id for post in receiver.received) == [
        "evt_t1_callback", "evt_t2_callback", "evt_t2_upload",
    ]  # fmt: skip


async def test_originals_are_deleted_before_a_task_is_reported(world: World) -> None:
    await world.complete_task("t1")
    assert "t1/input/0" in world.files()
    async with listening(Receiver()) as receiver, dispatching(callback(world, receiver)):
        await receiver.posts(1)
        assert world.files() == {"t1/output/covered_0.webp"}


async def test_originals_are_deleted_without_addresses_too(world: World) -> None:
    await world.complete_task("t1")
    async with dispatching(world.settings()):

        async def gone() -> bool:
            return "t1/input/0" not in world.files()

        await eventually(gone)


async def test_originals_of_an_open_task_stay_whatever_an_event_says(world: World) -> None:
    await world.complete_task("t1")
    [(_, fields)] = await world.redis.xrange(world.keys.events)
    await world.redis.delete(world.keys.task("t1"))
    await world.begin_task("t1")  # the id is used again while the old event is still there
    await world.redis.xadd(world.keys.events, fields)
    await world.complete_task("t2")
    async with listening(Receiver()) as receiver, dispatching(callback(world, receiver)):
        await receiver.posts(2)
    assert "t1/input/0" in world.files()


async def test_the_same_event_twice_is_one_delivery(world: World) -> None:
    await world.complete_task("t1")
    [(_, fields)] = await world.redis.xrange(world.keys.events)
    async with listening(Receiver()) as receiver, dispatching(callback(world, receiver)):
        await receiver.posts(1)
        await world.delivery_state("t1", "callback", "delivered")
        await world.redis.xadd(world.keys.events, fields)
        await world.redis.xgroup_destroy(world.keys.events, "dispatcher")  # all is read again
        await world.complete_task("t2")
        await world.delivery_state("t2", "callback", "delivered")
    assert [post.webhook_id for post in receiver.received] == ["evt_t1_callback", "evt_t2_callback"]


async def test_a_crash_between_claim_and_record_delivers_again(world: World) -> None:
    await world.complete_task("t1")
    receiver = Receiver(wait_for(asyncio.Event()), respond(200))
    settings = {"webhook_timeout_seconds": 0.5, "lease_seconds": 0.5}
    async with listening(receiver):
        async with dispatching(callback(world, receiver, **settings)) as running:
            await receiver.posts(1)
            await running.crash()
        assert (await world.delivery("t1", "callback"))["state"] == "due"
        async with dispatching(callback(world, receiver, **settings)):
            first, second = await receiver.posts(2)
            await world.delivery_state("t1", "callback", "delivered")
    assert first.webhook_id == second.webhook_id
    assert first.body == second.body


async def test_a_stop_lets_what_is_in_flight_end_and_claims_nothing_new(world: World) -> None:
    await world.complete_task("t1")
    await world.complete_task("t2")
    release = asyncio.Event()
    receiver = Receiver(wait_for(release))
    async with listening(receiver):
        settings = callback(world, receiver, webhook_concurrency=1)
        async with dispatching(settings) as running:
            await receiver.posts(1)
            running.stop.set()
            release.set()
            await running.finish()
    states = [(await world.delivery(name, "callback"))["state"] for name in ("t1", "t2")]
    assert sorted(states) == ["delivered", "due"]
    assert len(receiver.received) == 1


async def test_a_stop_does_not_wait_longer_than_the_drain(world: World) -> None:
    await world.complete_task("t1")
    receiver = Receiver(wait_for(asyncio.Event()))
    async with (
        listening(receiver),
        dispatching(callback(world, receiver, drain_seconds=0.2)) as running,
    ):
        await receiver.posts(1)
        await running.finish(within_seconds=3)
    assert (await world.delivery("t1", "callback"))["state"] == "due"
    assert await world.redis.zcard(world.keys.due_deliveries("callback")) == 1


async def test_a_task_deleted_meanwhile_is_not_sent(world: World) -> None:
    await world.complete_task("t1")
    receiver = Receiver(respond(500))
    async with listening(receiver), dispatching(both(world, receiver)) as running:
        await receiver.posts(2)
        assert await world.tasks.delete("t1")
        for kind in ("upload", "callback"):
            cancelled = await world.delivery_state("t1", kind, "cancelled")
            assert "payload" not in cancelled
            assert running.count("plate_deliveries_total", kind=kind, outcome="cancelled") == 1


async def test_a_task_deleted_before_its_end_is_called_back_as_failed(world: World) -> None:
    await world.begin_task("t1")
    assert await world.tasks.delete("t1")
    async with listening(Receiver()) as receiver, dispatching(both(world, receiver)):
        [post] = await receiver.posts(1)
        await world.delivery_state("t1", "callback", "delivered")
    assert json.loads(post.body)["errors"][0]["code"] == "deleted"


async def test_a_new_event_is_sent_at_once_not_at_the_next_poll(world: World) -> None:
    async with listening(Receiver()) as receiver, dispatching(callback(world, receiver)):
        await world.complete_task("t1")
        await world.delivery_state("t1", "callback", "delivered")
        await world.complete_task("t2")
        completed = asyncio.get_running_loop().time()
        [_, second] = await receiver.posts(2)
    assert second.at - completed < POLL_SECONDS / 2


async def test_an_upload_without_its_files_is_cancelled_not_tried_for_ever(world: World) -> None:
    await world.complete_task("t1")
    await world.storage.delete_prefix("t1/")
    receiver = Receiver()
    async with listening(receiver), dispatching(both(world, receiver)):
        cancelled = await world.delivery_state("t1", "upload", "cancelled")
        await world.delivery_state("t1", "callback", "delivered")
    assert cancelled["attempts"] == "1"
    assert [post.path for post in receiver.received] == ["/callback"]


async def test_credentials_of_an_address_are_used_and_never_logged(world: World) -> None:
    await world.complete_task("t1")
    with socket.socket() as closed, structlog.testing.capture_logs() as lines:
        closed.bind(("127.0.0.1", 0))
        async with listening(Receiver(respond(500), respond(200))) as receiver:
            settings = world.settings(
                backend_callback_url=f"http://user:hunter2@127.0.0.1:{receiver.port}/x",
                backend_upload_url=f"http://user:hunter2@127.0.0.1:{closed.getsockname()[1]}/x",
            )
            async with dispatching(settings):
                await receiver.posts(2)
                await world.delivery_state("t1", "callback", "delivered")
    basic = base64.b64encode(b"user:hunter2").decode()
    assert receiver.received[0].headers["Authorization"] == f"Basic {basic}"
    assert "hunter2" not in str(lines)
    reported = [line for line in lines if line["event"] == "delivery delivered"]
    assert len(reported) == 1
    assert reported[0].items() >= {"task_id": "t1", "kind": "callback", "attempt": 2}.items()


async def test_a_lease_is_longer_than_the_longest_attempt(world: World) -> None:
    """Otherwise another dispatcher sends what this one is about to record."""
    await world.complete_task("t1")
    receiver = Receiver(wait_for(asyncio.Event()))
    settings = {"webhook_timeout_seconds": 500, "lease_seconds": 1000, "drain_seconds": 0}
    async with listening(receiver), dispatching(callback(world, receiver, **settings)):
        await receiver.posts(1)
        key = world.keys.due_deliveries("callback")
        due_ms = await world.redis.zscore(key, "evt_t1_callback")
        seconds, _ = await world.redis.time()
        assert due_ms is not None
        assert due_ms / 1000 - seconds > 1400, (
            "500 for the attempt, and a lease to record its result"
        )
