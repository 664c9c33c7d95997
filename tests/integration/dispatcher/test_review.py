"""The callback reports results that a person should review."""

import json

import pytest

from schemas.contract.tasks import Detection, ImageResult
from tests.integration.dispatcher.conftest import World, dispatching
from tests.integration.dispatcher.receiver import Receiver, listening

pytestmark = pytest.mark.integration


async def test_the_callback_reports_the_review(world: World) -> None:
    [(entry, message)] = await world.begin_task("t1")
    quad = ((0.0, 1.0), (9.5, 1.0), (9.5, 4.0), (0.0, 4.0))
    result = ImageResult(
        filename="covered_0.webp", url="/x", needs_review=True,
        detections=[Detection(quad=quad, score=0.3)], model="0123456789ab",
    )  # fmt: skip
    await world.tasks.finish(entry, message, result, {})
    async with (
        listening(Receiver()) as receiver,
        dispatching(world.settings(backend_callback_url=receiver.url)),
    ):
        [post] = await receiver.posts(1)
    body = json.loads(post.body)
    assert body["needs_review"] is True
    assert body["results"] == [
        {
            "index": 0, "filename": "covered_0.webp", "url": "/x", "needs_review": True,
            "detections": [{"quad": [list(corner) for corner in quad], "score": 0.3}],
            "model": "0123456789ab",
        }
    ]  # fmt: skip


async def test_an_event_from_before_the_update_is_delivered(world: World) -> None:
    await world.complete_task("t1")
    [(_, event)] = await world.redis.xrange(world.keys.events)
    old = json.loads(event[b"payload"])
    del old["needs_review"]
    await world.redis.delete(world.keys.events)
    # Tasks of that time do not name their event; another one would be published in its place.
    await world.redis.hdel(world.keys.task("t1"), "event")
    await world.redis.xadd(world.keys.events, {**event, b"payload": json.dumps(old)})
    async with (
        listening(Receiver()) as receiver,
        dispatching(world.settings(backend_callback_url=receiver.url)),
    ):
        [post] = await receiver.posts(1)
    assert json.loads(post.body) == old
