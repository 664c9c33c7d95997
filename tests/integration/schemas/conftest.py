"""A server with the work stream, and the store on it."""

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.task_store import TaskStore
from tests.integration.schemas.steps import KEYS, TTL_MS


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server) as client:
        await client.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
        yield client


@pytest.fixture
def store(redis: Redis) -> TaskStore:
    return TaskStore(redis, KEYS, task_ttl_ms=TTL_MS)
