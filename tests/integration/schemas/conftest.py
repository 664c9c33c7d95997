"""A server with the work stream, and the store on it; each test runs on both kinds of server."""

from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio import Redis

from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.task_store import TaskStore
from tests.integration.schemas.steps import KEYS, TTL_MS
from tests.support.redis_server import RedisServer, server_binaries, shared_server


@pytest.fixture(scope="session", params=sorted(server_binaries()))
def running_redis(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """A server of each kind that is installed: the Lua steps must do the same on both."""
    with shared_server(request.param, tmp_path_factory) as server:
        yield server


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server) as client:
        await client.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
        yield client


@pytest.fixture
def store(redis: Redis) -> TaskStore:
    return TaskStore(redis, KEYS, task_ttl_ms=TTL_MS)
