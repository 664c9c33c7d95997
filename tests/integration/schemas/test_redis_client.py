"""More commands at once than connections: they wait, and none is refused."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NoConnectionError
from redis.exceptions import MasterDownError

from schemas.redis import client as redis_client
from schemas.redis.client import (
    MAX_CONNECTIONS,
    check_kind,
    connect,
    connect_blocking,
)
from schemas.settings.base import Settings
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, SentinelServer
from tests.support.service import wait_until

pytestmark = pytest.mark.integration

COMMANDS = 400
SECONDS = 30


@pytest.fixture(params=["address", "sentinel"])
def found(
    request: pytest.FixtureRequest, own_redis: RedisServer, tmp_path: Path
) -> Iterator[dict[str, Any]]:
    """Settings of the test's own server: its address, or a Sentinel."""
    if request.param == "address":
        yield {"redis_url": own_redis.url}
        return
    sentinel = SentinelServer(own_redis.binary, tmp_path, own_redis.port, quorum=1)
    sentinel.start()
    yield {
        "redis_sentinels": f"127.0.0.1:{sentinel.port}",
        "redis_sentinel_master": SentinelServer.MASTER,
    }
    sentinel.kill()


def clients(server: RedisServer) -> int:
    """Open connections of our clients, without the Sentinel's."""
    with Redis.from_url(server.url) as redis:
        names = [str(client["name"]) for client in redis.client_list()]
    return sum(not name.startswith("sentinel-") for name in names) - 1


def blocked(server: RedisServer) -> int:
    """Clients that wait in a blocking command."""
    with Redis.from_url(server.url) as redis:
        return int(redis.info("clients")["blocked_clients"])


async def cancel_all(waiting: list[asyncio.Future[Any]]) -> None:
    """Cancel until all have ended: Python 3.11 may lose a cancellation at the end of a wait_for."""
    left = set(waiting)
    while left:
        for one in left:
            one.cancel()
        _, left = await asyncio.wait(left, timeout=0.1)


async def test_many_commands_at_once_wait_for_a_connection(
    own_redis: RedisServer, found: dict[str, Any]
) -> None:
    async with asyncio.timeout(SECONDS), connect(Settings(_env_file=None, **found)) as redis:
        for _ in range(2):
            answers = await asyncio.gather(*(redis.incr("asked") for _ in range(COMMANDS)))
        assert sorted(answers) == list(range(COMMANDS + 1, 2 * COMMANDS + 1))
        assert 1 < clients(own_redis) <= MAX_CONNECTIONS
    await asyncio.to_thread(wait_until, lambda: clients(own_redis) == 0, 10, "them to be closed")


async def test_cancelled_commands_free_their_connections(
    own_redis: RedisServer, found: dict[str, Any]
) -> None:
    async with asyncio.timeout(SECONDS), connect(Settings(_env_file=None, **found)) as redis:
        waiting = [asyncio.ensure_future(redis.blpop("nothing", 20)) for _ in range(COMMANDS)]
        await asyncio.to_thread(
            wait_until, lambda: blocked(own_redis) == MAX_CONNECTIONS, 10, "all to be in use"
        )
        await cancel_all(waiting)
        assert len(await asyncio.gather(*(redis.incr("asked") for _ in range(COMMANDS))))


async def test_the_wait_for_a_connection_has_a_limit(
    own_redis: RedisServer, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "COMMAND_TIMEOUT_SECONDS", 0.5)
    settings = Settings(_env_file=None, **found)
    async with asyncio.timeout(SECONDS), connect_blocking(settings, block_seconds=20) as redis:
        waiting = [
            asyncio.ensure_future(redis.blpop("nothing", 20)) for _ in range(MAX_CONNECTIONS)
        ]
        await asyncio.to_thread(
            wait_until, lambda: blocked(own_redis) == MAX_CONNECTIONS, 10, "all to be in use"
        )
        with pytest.raises(NoConnectionError):
            await redis.incr("asked")
        await cancel_all(waiting)


async def test_a_replica_without_primary_is_no_cluster_node(own_redis: RedisServer) -> None:
    """redis-py derives its MASTERDOWN error from the one for CLUSTERDOWN."""
    settings = Settings(_env_file=None, redis_url=own_redis.url)
    with Redis.from_url(own_redis.url) as redis:
        redis.config_set("replica-serve-stale-data", "no")
        redis.replicaof("127.0.0.1", free_port())
    async with asyncio.timeout(SECONDS), connect(settings) as client:
        with pytest.raises(MasterDownError):
            await client.exists("key")
        await check_kind(settings)
