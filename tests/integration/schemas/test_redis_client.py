"""More questions at once than there are connections: they wait for one, and none is refused."""

import asyncio
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as NoConnectionError
from redis.exceptions import MasterDownError

from schemas.redis import client as redis_client
from schemas.redis.client import (
    MAX_CONNECTIONS,
    ClusterNodeError,
    connect,
    connect_blocking,
    refuse_cluster,
)
from schemas.settings.base import Settings
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, SentinelServer
from tests.support.service import wait_until

pytestmark = pytest.mark.integration

QUESTIONS = 400
SECONDS = 30


@pytest.fixture(params=["address", "sentinel"])
def found(
    request: pytest.FixtureRequest, own_redis: RedisServer, tmp_path: Path
) -> Iterator[dict[str, Any]]:
    """Settings that lead to the test's own server, on either way."""
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
    """Connections that our clients have open; a Sentinel's are not ours."""
    with Redis.from_url(server.url) as redis:
        names = [str(client["name"]) for client in redis.client_list()]
    return sum(not name.startswith("sentinel-") for name in names) - 1


def blocked(server: RedisServer) -> int:
    """Clients that wait within a command: with these, nothing is still on its way."""
    with Redis.from_url(server.url) as redis:
        return int(redis.info("clients")["blocked_clients"])


async def give_up(asking: list[asyncio.Future[Any]]) -> None:
    """Python 3.11 may lose a cancellation that meets the end of a `wait_for` (of a write)."""
    left = set(asking)
    while left:
        for one in left:
            one.cancel()
        _, left = await asyncio.wait(left, timeout=0.1)


async def test_many_questions_at_once_wait_for_their_turn(
    own_redis: RedisServer, found: dict[str, Any]
) -> None:
    async with asyncio.timeout(SECONDS), connect(Settings(_env_file=None, **found)) as redis:
        for _ in range(2):
            answers = await asyncio.gather(*(redis.incr("asked") for _ in range(QUESTIONS)))
        assert sorted(answers) == list(range(QUESTIONS + 1, 2 * QUESTIONS + 1))
        assert 1 < clients(own_redis) <= MAX_CONNECTIONS
    await asyncio.to_thread(wait_until, lambda: clients(own_redis) == 0, 10, "them to be closed")


async def test_those_who_give_up_do_not_keep_the_others_from_their_turn(
    own_redis: RedisServer, found: dict[str, Any]
) -> None:
    async with asyncio.timeout(SECONDS), connect(Settings(_env_file=None, **found)) as redis:
        asking = [asyncio.ensure_future(redis.blpop("nothing", 20)) for _ in range(QUESTIONS)]
        await asyncio.to_thread(
            wait_until, lambda: blocked(own_redis) == MAX_CONNECTIONS, 10, "all to be in use"
        )
        await give_up(asking)
        assert len(await asyncio.gather(*(redis.incr("asked") for _ in range(QUESTIONS))))


async def test_nobody_waits_for_ever(
    own_redis: RedisServer, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_client, "COMMAND_TIMEOUT_SECONDS", 0.5)
    settings = Settings(_env_file=None, **found)
    async with asyncio.timeout(SECONDS), connect_blocking(settings, block_seconds=20) as redis:
        asking = [asyncio.ensure_future(redis.blpop("nothing", 20)) for _ in range(MAX_CONNECTIONS)]
        await asyncio.to_thread(
            wait_until, lambda: blocked(own_redis) == MAX_CONNECTIONS, 10, "all to be in use"
        )
        with pytest.raises(NoConnectionError):
            await redis.incr("asked")
        await give_up(asking)


async def test_a_replica_without_its_primary_is_no_cluster_node(own_redis: RedisServer) -> None:
    """redis-py derives its MASTERDOWN error from the one for CLUSTERDOWN."""
    settings = Settings(_env_file=None, redis_url=own_redis.url)
    with Redis.from_url(own_redis.url) as redis:
        redis.config_set("replica-serve-stale-data", "no")
        redis.replicaof("127.0.0.1", free_port())
    async with asyncio.timeout(SECONDS), connect(settings) as client:
        with pytest.raises(MasterDownError):
            await client.exists("key")
        await refuse_cluster(settings)


def test_a_copy_of_the_error_for_cluster_nodes_says_the_same() -> None:
    """Each caller of a bundle gets a copy."""
    error = ClusterNodeError("MOVED")
    assert str(copy(error)) == str(error)
    assert str(error).count("MOVED") == 1
