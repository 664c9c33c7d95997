"""Values of /metrics that are read when Prometheus asks."""

import math
import shutil

import pytest
from redis.asyncio import Redis

from tests.integration.producer.conftest import (
    JPEG,
    RunningProducer,
    StartProducer,
    eventually,
)
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

USED, LIMIT = "plate_redis_memory_used_bytes", "plate_redis_memory_limit_bytes"


async def test_the_age_of_the_oldest_image(producer: RunningProducer) -> None:
    assert await producer.metric("plate_backlog_age_seconds") == 0
    await producer.redis.xadd(producer.keys.images, {"v": 1}, id="1000-0")
    await producer.upload(("a.jpg", JPEG))
    seconds, _ = await producer.redis.time()
    assert abs(await producer.metric("plate_backlog_age_seconds") - (seconds - 1)) < 60
    await producer.redis.xdel(producer.keys.images, "1000-0")
    assert 0 < await producer.metric("plate_backlog_age_seconds") < 60


async def test_an_image_of_a_clock_that_is_ahead_has_no_age(producer: RunningProducer) -> None:
    seconds, _ = await producer.redis.time()
    await producer.redis.xadd(producer.keys.images, {"v": 1}, id=f"{(seconds + 900) * 1000}-0")
    assert await producer.metric("plate_backlog_age_seconds") == 0


async def test_the_disk_of_the_storage_folder(producer: RunningProducer) -> None:
    disk = shutil.disk_usage(producer.folder)
    assert await producer.metric("plate_storage_size_bytes") == disk.total
    assert 0 < await producer.metric("plate_storage_free_bytes") <= disk.total
    shutil.rmtree(producer.folder)
    producer.folder.write_text("in the way")

    async def is_unready() -> bool:
        return await producer.metric("plate_health_problems") == 1

    await eventually(is_unready)


async def test_the_memory_of_redis(start_producer: StartProducer, own_redis: RedisServer) -> None:
    producer = await start_producer(own_redis.url)
    used = await producer.metric(USED)
    assert 0 < used < await producer.metric(LIMIT)
    await producer.redis.config_set("maxmemory", 1 << 30)
    assert await producer.metric(LIMIT) == 1 << 30
    assert await producer.metric("plate_health_problems") == 0


async def test_a_user_who_may_not_call_info(
    start_producer: StartProducer, own_redis: RedisServer
) -> None:
    async with Redis.from_url(own_redis.url) as admin:
        await admin.execute_command("ACL SETUSER plates on >secret ~* +@all -info")
        url = own_redis.url.replace("redis://", "redis://plates:secret@")
        producer = await start_producer(url)
        assert math.isnan(await producer.metric(USED))
        assert await producer.metric("plate_backlog_images") == 0
        assert await producer.metric("plate_health_problems") == 0


async def test_what_redis_cannot_tell_is_not_zero(
    start_producer: StartProducer, own_redis: RedisServer
) -> None:
    producer = await start_producer(own_redis.url)
    own_redis.kill()

    async def is_unready() -> bool:
        return await producer.metric("plate_health_problems") == 1

    await eventually(is_unready, 30)
    for name in ("plate_backlog_images", "plate_backlog_age_seconds", "plate_open_tasks", USED):
        assert math.isnan(await producer.metric(name)), name
