"""Webhooks whose receiver refuses, is slow or unavailable: they are attempted again, or dead."""

import asyncio
import json
import socket

import pytest
from structlog.testing import capture_logs

from consumer.dispatcher.webhook_dispatcher import POLL_SECONDS
from tests.integration.dispatcher.conftest import World, dispatching, eventually
from tests.integration.dispatcher.receiver import (
    Behaviour,
    Receiver,
    both,
    callback,
    listening,
    reset,
    respond,
    rude,
    wait_for,
)

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    "first",
    [respond(500), respond(404), respond(301, Location="/elsewhere"), reset],
    ids=["500", "404", "301", "reset"],
)
async def test_what_is_not_2xx_is_attempted_again_with_the_same_id(
    world: World, first: Behaviour
) -> None:
    await world.complete_task("t1")
    async with (
        listening(Receiver(first, respond(204))) as receiver,
        dispatching(both(world, receiver)) as running,
    ):
        posts = await receiver.posts(3)
        ended = await world.delivery_state("t1", "upload", "delivered")
        also = await world.delivery_state("t1", "callback", "delivered")
        retries = [
            running.count("plate_deliveries_total", kind=kind, outcome="retry")
            for kind in ("upload", "callback")
        ]
    assert len({post.webhook_id for post in posts}) == 2
    # The wait is the schedule's, not that of the next poll.
    assert posts[2].at - posts[0].at < POLL_SECONDS / 2
    assert {post.path for post in posts} <= {"/upload", "/callback"}
    assert sorted([ended["attempts"], also["attempts"]]) == ["1", "2"]
    assert sum(retries) == 1


@pytest.mark.parametrize(
    "first",
    [
        rude(b"\x00\xff" * 1000),
        rude(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
        rude(b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 1000 + b"\r\n"),
        rude(b"HTTP/1.1 200 ", b"a" * 10_000),
    ],
    ids=["junk", "negative length", "endless head", "endless status"],
)
async def test_what_is_hardly_http_is_a_failure_like_any_other(
    world: World, first: Behaviour
) -> None:
    await world.complete_task("t1")
    settings = {"webhook_timeout_seconds": 5}
    async with (
        listening(Receiver(first, respond(200))) as receiver,
        dispatching(callback(world, receiver, **settings)),
    ):
        posts = await receiver.posts(2)
        await world.delivery_state("t1", "callback", "delivered")
    assert len({post.webhook_id for post in posts}) == 1


async def test_a_response_that_never_ends_is_not_read(world: World) -> None:
    await world.complete_task("t1")
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
    async with (
        listening(Receiver(rude(head, body))) as receiver,
        dispatching(callback(world, receiver)),
    ):
        ended = await world.delivery_state("t1", "callback", "delivered")
    assert ended["attempts"] == "1"


async def test_a_receiver_that_never_responds_is_attempted_again(world: World) -> None:
    await world.complete_task("t1")
    never = asyncio.Event()
    settings = {"webhook_timeout_seconds": 0.3}
    async with (
        listening(Receiver(wait_for(never), respond(200))) as receiver,
        dispatching(callback(world, receiver, **settings)),
    ):
        await receiver.posts(2)
        await world.delivery_state("t1", "callback", "delivered")


async def test_an_upload_ends_by_its_idle_timeout_not_only_by_its_total_one(world: World) -> None:
    await world.complete_task("t1")
    receiver = Receiver(wait_for(asyncio.Event()), respond(200))
    settings = {"webhook_timeout_seconds": 0.3, "webhook_upload_timeout_seconds": 60}
    async with listening(receiver):
        url = {"backend_upload_url": receiver.url}
        async with dispatching(world.settings(**settings, **url)):
            await receiver.posts(2)
            await world.delivery_state("t1", "upload", "delivered")


async def test_retry_after_is_honoured(world: World) -> None:
    await world.complete_task("t1")
    async with (
        listening(Receiver(respond(429, Retry_After="1"), respond(200))) as receiver,
        dispatching(callback(world, receiver)),
    ):
        first, second = await receiver.posts(2)
    assert second.at - first.at >= 1


async def test_410_ends_a_delivery_at_once_and_keeps_it_for_a_replay(world: World) -> None:
    await world.complete_task("t1")
    async with (
        listening(Receiver(respond(410), respond(200))) as receiver,
        dispatching(callback(world, receiver)),
    ):
        dead = await world.delivery_state("t1", "callback", "dead")
        assert await world.redis.zcard(world.keys.due_deliveries("callback")) == 0
    assert dead["attempts"] == "1"
    assert dead["status"] == "status 410"
    assert json.loads(dead["payload"])["task_id"] == "t1"


async def test_a_delivery_is_dead_when_the_next_attempt_would_be_too_late(world: World) -> None:
    await world.complete_task("t1")
    settings = {"webhook_retry_seconds": "4000", "task_storage_ttl_hours": 2}
    async with (
        listening(Receiver(respond(500))) as receiver,
        dispatching(callback(world, receiver, **settings)),
    ):
        assert (await world.delivery_state("t1", "callback", "dead"))["attempts"] == "1"


@pytest.mark.parametrize(
    ("settings", "last"),
    [({}, 410), ({"webhook_retry_seconds": "0.05,4000", "task_storage_ttl_hours": 2}, 500)],
    ids=["refused", "too late"],
)
async def test_a_dead_delivery_is_an_error_in_the_log_and_a_retry_is_none(
    world: World, settings: dict[str, object], last: int
) -> None:
    await world.complete_task("t1")
    with capture_logs() as lines:
        async with (
            listening(Receiver(respond(500), respond(last))) as receiver,
            dispatching(callback(world, receiver, **settings)),
        ):
            await world.delivery_state("t1", "callback", "dead")
    levels = {line["event"]: line["log_level"] for line in lines if "attempt" in line}
    assert levels == {"delivery retry": "info", "delivery dead": "error"}


async def test_a_receiver_that_was_down_gets_everything_when_it_is_back(world: World) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    for name in ("t1", "t2"):
        await world.complete_task(name)
    receiver = Receiver()
    receiver.port = port
    async with dispatching(both(world, receiver)):

        async def both_attempted_twice() -> bool:
            rows = [await world.delivery(name, "upload") for name in ("t1", "t2")]
            return all(int(row.get("attempts", 0)) >= 2 for row in rows)

        await eventually(both_attempted_twice)
        async with listening(receiver, port):
            for name in ("t1", "t2"):
                await world.delivery_state(name, "upload", "delivered")
                await world.delivery_state(name, "callback", "delivered")


async def test_a_slow_endpoint_never_holds_up_the_other(world: World) -> None:
    release = asyncio.Event()
    names = [f"t{number}" for number in range(5)]
    for name in names:
        await world.complete_task(name)
    async with listening(Receiver(wait_for(release))) as slow, listening(Receiver()) as quick:
        settings = world.settings(
            backend_upload_url=slow.url, backend_callback_url=quick.url, webhook_concurrency=2
        )
        async with dispatching(settings):
            await slow.posts(2)
            await quick.posts(5)
            assert slow.in_flight == slow.max_in_flight == 2
            release.set()
            await slow.posts(5)
    assert slow.max_in_flight == 2
    assert {post.webhook_id for post in slow.received} == {f"evt_{name}_upload" for name in names}
