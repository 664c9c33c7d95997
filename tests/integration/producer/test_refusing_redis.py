"""A Redis that responds, but refuses writes: surely no task is accepted."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from producer.errors import RedisRefusesError, UnsettledSubmitError
from producer.services import container
from producer.services.submit import Submitter
from schemas.contract.messages import ImageMessage
from schemas.redis.client import connect_blocking
from schemas.redis.keys import Keys
from schemas.redis.task_store import TaskStore
from schemas.settings.base import Settings
from tests.integration.producer.conftest import JPEG, StartProducer, eventually
from tests.integration.producer.lossy import Lossy
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

SECONDS = 30
MESSAGES = [ImageMessage(task_id="t", total=1, object="t/input/0")]

Refusal = Callable[[Redis, RedisServer], Awaitable[None]]


async def no_replicas(redis: Redis, _: RedisServer) -> None:
    await redis.config_set("min-replicas-to-write", 1)


async def read_only(redis: Redis, _: RedisServer) -> None:
    await redis.replicaof("127.0.0.1", "1")


async def disk_refuses(redis: Redis, server: RedisServer) -> None:
    (server.folder / "dump.rdb" / "in the way").mkdir(parents=True)
    await redis.config_set("save", "3600 1")
    await redis.bgsave()

    async def failed() -> bool:
        return (await redis.info())["rdb_last_bgsave_status"] == "err"

    await eventually(failed)


async def relieve(redis: Redis) -> None:
    await redis.config_set("min-replicas-to-write", 0)
    await redis.replicaof("NO", "ONE")
    await redis.config_set("save", "")  # the server would not even stop otherwise


@pytest.mark.parametrize("refuse", [no_replicas, read_only, disk_refuses])
async def test_a_refused_upload_leaves_no_files(
    start_producer: StartProducer,
    own_redis: RedisServer,
    refuse: Refusal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(container, "SUBMIT_SECONDS", 0.5)
    async with asyncio.timeout(SECONDS):
        producer = await start_producer(own_redis.url)
        # The first one's connections are not checked again so soon: a full disk refuses PINGs too.
        assert (await producer.upload(("a.jpg", JPEG)))[0] == 202
        before = producer.files()
        await refuse(producer.redis, own_redis)
        status, problem = await producer.upload(("a.jpg", JPEG))
        assert (status, problem["type"]) == (503, "urn:plate-detect:redis-away")
        assert producer.files() == before
        await relieve(producer.redis)
        assert (await producer.upload(("a.jpg", JPEG)))[0] == 202


def store_at(url: str) -> tuple[Redis, TaskStore]:
    redis = connect_blocking(Settings(_env_file=None, redis_url=url), block_seconds=0)
    return redis, TaskStore(redis, Keys("{plates}"), task_ttl_ms=60_000)


async def test_a_refusal_that_ends_in_time_is_not_noticed(own_redis: RedisServer) -> None:
    redis, store = store_at(own_redis.url)
    async with asyncio.timeout(SECONDS), redis:
        await no_replicas(redis, own_redis)
        submitter = Submitter(store, max_backlog=9, timeout_seconds=SECONDS)
        submitting = asyncio.create_task(submitter.submit("t", MESSAGES))

        async def refused() -> bool:
            return "errorstat_NOREPLICAS" in await redis.info("errorstats")

        await eventually(refused)
        assert not submitting.done()
        await relieve(redis)
        await submitting
        assert await store.backlog() == 1


async def test_a_lost_response_among_refusals_stays_unsettled(own_redis: RedisServer) -> None:
    lossy = Lossy(own_redis.url)
    async with asyncio.timeout(SECONDS), lossy.listening():
        redis, store = store_at(lossy.url)
        async with redis:
            submitter = Submitter(store, max_backlog=9, timeout_seconds=0.5)
            await no_replicas(redis, own_redis)
            with pytest.raises(RedisRefusesError):
                await submitter.submit("t", MESSAGES)
            lossy.mute = True
            with pytest.raises(UnsettledSubmitError):
                await submitter.submit("t", MESSAGES)
