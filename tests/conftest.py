"""Fixtures that several kinds of test share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tests.support.environment import forget_settings
from tests.support.redis_server import RedisServer, server_binaries

forget_settings()


@pytest.fixture(scope="session", params=sorted(server_binaries()))
def running_redis(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """A server for the whole session, once per kind of server that is installed."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    server = RedisServer(server_binaries()[request.param], folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(running_redis: RedisServer) -> str:
    """URL of an empty real server."""
    with Redis.from_url(running_redis.url) as client:
        client.flushall()
    return running_redis.url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of the test's own, which it may kill and start again."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(server_binaries()["valkey"], folder)
    server.start()
    yield server
    server.stop()
