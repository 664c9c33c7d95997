"""A corrected result: its event, both webhooks again, and what the sweeper repairs and deletes."""

import json
from typing import Any

import pytest
from aiohttp import web

from schemas.contract.corrections import CorrectionMessage, CoversToAdd
from schemas.redis.corrections import CorrectionEnd, CorrectionStore
from schemas.redis.keys import DISPATCHER_GROUP, WORKERS_GROUP
from schemas.redis.results import CorrectionResult
from schemas.redis.scripts import ensure_group
from tests.integration.dispatcher.administrator import delete_consumer
from tests.integration.dispatcher.conftest import TTL_MS, World, dispatching, eventually, items
from tests.integration.dispatcher.receiver import Receiver, listening, respond
from tests.integration.dispatcher.sweeping import put, sweeper

pytestmark = pytest.mark.integration

NAME = "covered_0.webp"
COVERS = CoversToAdd.model_validate({"covers": [[[0, 0], [9, 0], [9, 9], [0, 9]]]})


def store_of(world: World) -> CorrectionStore:
    return CorrectionStore(world.redis, world.keys, task_ttl_ms=TTL_MS)


async def add(world: World, correction_id: str = "c1") -> None:
    await store_of(world).add("t1", NAME, correction_id, COVERS, "", max_backlog=9)


async def correct(world: World, correction_id: str = "c1") -> str:
    """Add a correction and make it; return the name of the new file."""
    store = store_of(world)
    await add(world, correction_id)
    await ensure_group(world.redis, world.keys.corrections, WORKERS_GROUP)
    [[_, [[entry, _]]]] = await world.redis.xreadgroup(
        WORKERS_GROUP, "w", {world.keys.corrections: ">"}
    )
    message = CorrectionMessage("t1", 0)
    found = await store.begin(entry.decode(), message)
    assert found is not None
    file = f"0.v{found.version + 1}-ab"
    await world.storage.put(f"t1/output/{file}", f"version {found.version + 1}".encode())
    done = await store.finish(
        entry.decode(), message, found.version, [CorrectionEnd(correction_id)], file=file
    )
    assert done is CorrectionResult.WRITTEN
    await world.storage.delete(f"t1/output/{found.file}")
    return file


async def test_both_webhooks_again_under_a_new_id(world: World) -> None:
    await world.complete_task("t1", [(NAME, b"first"), ("covered_1.webp", b"other")])
    async with listening(Receiver()) as receiver:
        settings = world.settings(
            backend_upload_url=f"{receiver.url}/upload",
            backend_callback_url=f"{receiver.url}/callback",
        )
        async with dispatching(settings):
            before = await receiver.posts(2)
            await correct(world)
            posts = (await receiver.posts(4))[2:]
    sent = {post.webhook_id.rpartition("_")[2]: post for post in posts}
    assert {post.webhook_id for post in posts} == {"upd_t1_0_1_upload", "upd_t1_0_1_callback"}
    assert {post.webhook_id for post in before} == {"evt_t1_upload", "evt_t1_callback"}
    upload = sent["upload"].body
    assert b"version 1" in upload
    assert b'filename="covered_0.webp"' in upload
    assert b"covered_1.webp" not in upload, "only the image that has changed"
    body = json.loads(sent["callback"].body)
    assert (body["updated"], body["results"][0]["version"]) == (NAME, 1)
    assert [result["filename"] for result in body["results"]] == [NAME, "covered_1.webp"]


async def test_a_late_upload_sends_the_current_version(world: World) -> None:
    await world.complete_task("t1", [(NAME, b"first")])
    async with listening(Receiver(respond(503))) as receiver:
        settings = world.settings(backend_upload_url=receiver.url, webhook_retry_seconds="30")
        async with dispatching(settings):
            await receiver.posts(1)
    await correct(world)
    async with listening(Receiver()) as receiver:
        settings = world.settings(backend_upload_url=receiver.url)
        [item] = [each async for each in items(world).select(_all())]
        assert await items(world).replay(item, dry_run=False)
        async with dispatching(settings):
            posts = await receiver.posts(2)
    assert {post.webhook_id for post in posts} == {"evt_t1_upload", "upd_t1_0_1_upload"}
    assert all(b"version 1" in post.body and b"first" not in post.body for post in posts)


async def test_an_upload_during_a_correction_is_repeated_with_the_new_version(
    world: World,
) -> None:
    await world.complete_task("t1", [(NAME, b"first")])

    async def correct_meanwhile(_: web.Request) -> web.StreamResponse:
        await correct(world)
        return web.Response()

    async with (
        listening(Receiver(correct_meanwhile, respond(200))) as receiver,
        dispatching(world.settings(backend_upload_url=receiver.url)),
    ):
        posts = await receiver.posts(3)
    assert b"first" in posts[0].body
    assert posts[0].webhook_id == "evt_t1_upload"
    assert {post.webhook_id for post in posts[1:]} == {"evt_t1_upload", "upd_t1_0_1_upload"}
    assert all(b"version 1" in post.body for post in posts[1:])


def _all() -> Any:
    from cli.admin.deliveries import DeliveryFilter

    return DeliveryFilter()


async def test_a_deleted_task_sends_no_update(world: World) -> None:
    await world.complete_task("t1", [(NAME, b"first")])
    await correct(world)
    await world.tasks.delete("t1")
    async with (
        listening(Receiver()) as receiver,
        dispatching(world.settings(backend_callback_url=receiver.url)),
    ):

        async def cancelled() -> bool:
            key = world.keys.delivery("upd_t1_0_1_callback")
            return bool(await world.redis.hget(key, "state") == b"cancelled")

        await eventually(cancelled)
        assert receiver.received == []


@pytest.mark.parametrize("loss", ["stranded", "deleted"])
async def test_an_event_of_an_update_that_was_lost_is_sent(world: World, loss: str) -> None:
    events = world.keys.events
    await world.redis.xgroup_create(events, DISPATCHER_GROUP, "0", mkstream=True)
    await world.complete_task("t1", [(NAME, b"first")])
    await correct(world)
    if loss == "stranded":
        await world.redis.xreadgroup(DISPATCHER_GROUP, "ghost", {events: ">"})
        await delete_consumer(world, events, DISPATCHER_GROUP)
    else:
        await world.redis.delete(events)
    await correct(world, "c2")
    async with listening(Receiver()) as receiver:
        settings = world.settings(backend_callback_url=receiver.url, sweep_interval_seconds=0.2)
        async with dispatching(settings):
            posts = await receiver.posts(3)
    assert {post.webhook_id for post in posts} == {
        "evt_t1_callback", "upd_t1_0_1_callback", "upd_t1_0_2_callback",
    }  # fmt: skip
    fields = await world.redis.hgetall(world.keys.task("t1"))
    assert not [name for name in fields if name.startswith(b"update:")], "all are reported"


@pytest.mark.parametrize("loss", ["stranded", "deleted"])
async def test_a_correction_whose_entry_was_lost_is_delivered_again(
    world: World, loss: str
) -> None:
    stream = world.keys.corrections
    await world.redis.xgroup_create(stream, WORKERS_GROUP, "0", mkstream=True)
    await world.complete_task("t1", [(NAME, b"first")])
    await add(world)
    await world.redis.xreadgroup(WORKERS_GROUP, "ghost", {stream: ">"})
    if loss == "stranded":
        await delete_consumer(world, stream, WORKERS_GROUP)
    else:
        await world.redis.delete(stream)
    await sweeper(world, lease_seconds=30).sweep()
    await ensure_group(world.redis, stream, WORKERS_GROUP)
    taken: Any = await world.redis.xautoclaim(stream, WORKERS_GROUP, "w", 30_000, "0-0")
    new: Any = await world.redis.xreadgroup(WORKERS_GROUP, "w", {stream: ">"})
    assert len(taken[1]) + sum(len(rows) for _, rows in new) == 1


async def test_what_a_killed_worker_left_is_deleted(world: World) -> None:
    await world.complete_task("t1", [(NAME, b"first"), ("covered_1.webp", b"other")])
    await world.storage.delete_prefix("t1/input/")
    file = await correct(world)
    old, young = "t1/output/0.v1-dead", "t1/output/0.v2-beef"
    for key in (old, f"t1/output/{NAME}"):
        await put(world, key, age=1000)
    await put(world, young)
    await put(world, f"t1/output/{file}", age=1000)
    await add(world, "c2")
    await sweeper(world).sweep()
    assert old in world.files(), "a stalled worker may still make it the current one"
    await world.redis.delete(world.keys.job_lock("files"))
    [[_, [[entry, _]]]] = await world.redis.xreadgroup(
        WORKERS_GROUP, "w", {world.keys.corrections: ">"}
    )
    message, ends = CorrectionMessage("t1", 0), [CorrectionEnd("c2")]
    await store_of(world).finish(entry.decode(), message, 1, ends, file="0.v2-beef")
    await sweeper(world).sweep()
    assert world.files() == {young, "t1/output/covered_1.webp"}


async def test_the_queue_forgets_expired_tasks(world: World) -> None:
    await world.redis.zadd(world.keys.reviews, {"expired:0": 5})
    await sweeper(world).sweep()
    assert await world.redis.zcard(world.keys.reviews) == 0
