"""A dead delivery that the operator replays reaches the receiver after all, under the same id."""

import pytest

from cli.admin.deliveries import DeliveryFilter
from tests.integration.dispatcher.conftest import World, dispatching, items
from tests.integration.dispatcher.receiver import Receiver, listening, respond

pytestmark = pytest.mark.integration
DEAD = DeliveryFilter(state="dead")


async def test_replayed_while_the_dispatcher_runs(world: World) -> None:
    admin = items(world)
    async with listening(Receiver(respond(410), respond(500), respond(200))) as receiver:
        settings = world.settings(backend_upload_url=receiver.url, backend_callback_url=None)
        async with dispatching(settings):
            await world.complete_task("t1")
            await world.delivery_state("t1", "upload", "dead")
            (record,) = [found async for found in admin.select(DEAD)]
            assert record.reason == "status 410"
            await admin.replay(record, dry_run=False)
            posts = await receiver.posts(3)  # what fails then is attempted again
            held = await world.delivery_state("t1", "upload", "delivered")
    assert {post.webhook_id for post in posts} == {record.id}
    assert posts[2].body.count(b"RIFF") == 1
    assert (held["attempts"], held["replays"]) == ("2", "1")
    assert [found async for found in admin.select(DEAD)] == []


async def test_purged_while_the_receiver_is_down_is_never_sent(world: World) -> None:
    admin = items(world)
    async with listening(Receiver(respond(500))) as receiver:
        settings = world.settings(
            backend_callback_url=receiver.url, backend_upload_url=None, webhook_retry_seconds="1"
        )
        async with dispatching(settings):
            await world.complete_task("t1")
            await receiver.posts(1)
            (record,) = [found async for found in admin.select(DeliveryFilter())]
            await admin.purge(record, dry_run=False)
            await world.complete_task("t2")
            ids = [post.webhook_id for post in (await receiver.posts(3))[1:]]
    assert ids == ["evt_t2_callback"] * 2
