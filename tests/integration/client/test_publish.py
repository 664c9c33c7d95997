"""`publish` with a real server: a worker accepts each entry, and a lost response does no harm."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from plate_detect_client import PublishError, RetryPolicy
from plate_detect_client.stream import INLINE_MAX_BYTES, publish, publish_async
from schemas.contract.messages import ContractLimits, ImageMessage
from schemas.contract.tasks import ImageResult
from schemas.redis.keys import WORKERS_GROUP, Keys
from schemas.redis.task_store import TaskStore
from tests.integration.client.conftest import QUICK
from tests.integration.producer.conftest import eventually
from tests.integration.producer.lossy import Lossy

pytestmark = pytest.mark.integration

KEYS = Keys("{plates}")
LIMITS = ContractLimits(max_total=50, inline_max_bytes=INLINE_MAX_BYTES)
Publish = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def publishing(request: pytest.FixtureRequest) -> Publish:
    """Publish with either kind of connection, which repeats nothing by itself."""

    async def published(
        url: str, *args: Any, connected: Callable[[], object] = bool, **options: Any
    ) -> str:
        if request.param == "sync":
            with Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as redis:
                await asyncio.to_thread(redis.ping)
                connected()
                return await asyncio.to_thread(publish, redis, *args, **options)
        async with AsyncRedis.from_url(url, retry=AsyncRetry(NoBackoff(), 0)) as redis:
            await redis.ping()
            connected()
            return await publish_async(redis, *args, **options)

    return published


async def entries(url: str, stream: str = KEYS.images) -> list[ImageMessage]:
    """Read the stream as a worker does."""
    async with AsyncRedis.from_url(url) as redis:
        found = await redis.xrange(stream)
        return [ImageMessage.from_fields(fields, LIMITS) for _, fields in found]


async def cover(tasks: TaskStore, entry: str, message: ImageMessage) -> str:
    """Do what a worker does for one entry; return how it began."""
    begun = await tasks.begin(entry, message)
    if begun == "run":
        result = ImageResult(filename=message.output_name, url="/x")
        await tasks.finish(entry, message, result, {})
    return str(begun)


async def test_a_worker_accepts_the_images(
    redis_server: str, publishing: Publish, tmp_path: Path
) -> None:
    (tmp_path / "ж.jpg").write_bytes(b"from disk")
    task_id = await publishing(
        redis_server, [tmp_path / "ж.jpg", ("b.png", bytes(INLINE_MAX_BYTES))]
    )
    first, second = await entries(redis_server)
    assert (first.task_id, first.index, first.total) == (task_id, 0, 2)
    assert (first.filename, first.image) == ("ж.jpg", b"from disk")
    assert (second.task_id, second.index, second.total) == (task_id, 1, 2)
    assert (second.filename, second.image) == ("b.png", bytes(INLINE_MAX_BYTES))


async def test_prefix_and_task_id_can_be_chosen(redis_server: str, publishing: Publish) -> None:
    sent = await publishing(redis_server, [("a.jpg", b"x")], task_id="mine", prefix="{other}")
    assert sent == "mine"
    assert [entry.task_id for entry in await entries(redis_server, "{other}:images")] == ["mine"]


async def test_an_image_whose_response_was_lost_counts_once(
    redis_server: str, publishing: Publish
) -> None:
    lossy = Lossy(redis_server)

    async def lost() -> bool:
        return lossy.lost > 0

    def lose() -> None:
        lossy.deaf = True

    async with lossy.listening():
        files = [("a.jpg", b"a"), ("b.jpg", b"b")]
        sending = asyncio.create_task(publishing(lossy.url, files, retry=QUICK, connected=lose))
        await eventually(lost)
        lossy.deaf = False
        task_id = await sending

    async with AsyncRedis.from_url(redis_server) as redis:
        await redis.xgroup_create(KEYS.images, WORKERS_GROUP, "0")
        tasks = TaskStore(redis, KEYS, task_ttl_ms=100_000)
        reply: Any = await redis.xreadgroup(WORKERS_GROUP, "w", {KEYS.images: ">"})
        found = [
            (entry.decode(), ImageMessage.from_fields(fields, LIMITS))
            for entry, fields in reply[0][1]
        ]
        begun = [await cover(tasks, entry, message) for entry, message in found]
        state = await tasks.state(task_id)
    assert len(begun) > 2
    assert begun.count("run") == 2
    assert state is not None
    assert state.status.is_final
    assert [result.filename for result in state.results] == ["covered_a_0.webp", "covered_b_1.webp"]


async def test_what_is_too_large_is_refused_before_anything_is_added(
    redis_server: str, publishing: Publish
) -> None:
    with pytest.raises(ValueError, match=r"large\.jpg: more than 10 bytes"):
        await publishing(redis_server, [("a.jpg", b"x"), ("large.jpg", bytes(11))], max_bytes=10)
    with pytest.raises(ValueError, match="not a task id"):
        await publishing(redis_server, [("a.jpg", b"x")], task_id="a/b")
    assert not await entries(redis_server)


async def test_a_refusal_says_how_far_it_came(redis_server: str, publishing: Publish) -> None:
    async with AsyncRedis.from_url(redis_server) as redis:
        await redis.set(KEYS.images, "no stream")
    with pytest.raises(PublishError) as failed:
        await publishing(redis_server, [("a.jpg", b"x")], task_id="t1")
    assert (failed.value.task_id, failed.value.published) == ("t1", 0)


async def test_an_outage_ends_the_retries(publishing: Publish, redis_server: str) -> None:
    lossy = Lossy(redis_server)

    def lose() -> None:
        lossy.deaf = True

    async with lossy.listening():
        retry = RetryPolicy(total_seconds=0.2, base_seconds=0.01)
        with pytest.raises(PublishError, match="only 0 of 1"):
            await publishing(lossy.url, [("a.jpg", b"x")], retry=retry, connected=lose)
