"""Fixtures that several kinds of test share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from redis import Redis

from tests.support.environment import forget_settings
from tests.support.redis_server import RedisServer, server_binaries, shared_server

forget_settings()

# How long an example takes depends on the machine and on what else runs there.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def running_redis(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    """A server for the whole session, in memory: Valkey, unless `ON_EACH_SERVER` marks the test."""
    with shared_server(getattr(request, "param", "valkey"), tmp_path_factory) as server:
        yield server


@pytest.fixture
def redis_server(running_redis: RedisServer) -> str:
    """URL of an empty real server."""
    with Redis.from_url(running_redis.url) as client:
        client.flushall()
    return running_redis.url


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of one test, with its data on disk: the test may kill and restart it."""
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(server_binaries()["valkey"], folder)
    server.start()
    yield server
    server.stop()
