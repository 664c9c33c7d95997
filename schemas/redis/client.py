"""Connections to Redis or Valkey, with the time limits that every wait must have."""

import asyncio
from typing import Any

from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.connection import AbstractConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    RedisError,
    ResponseError,
)

from schemas.redis.keys import Keys
from schemas.settings.base import Settings, SettingsError

COMMAND_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 5.0
MAX_CONNECTIONS = 64
"""Of one client at the same time; further commands wait for one, as long as for an answer."""
SENTINEL_TIMEOUT_SECONDS = 2.0
"""Of each Sentinel that is asked for the master; the next one is asked then."""


PROBE_SECONDS = 2.0
"""Longest wait of a start for an answer that tells whether the server is a cluster's node."""

_CLUSTER_ANSWERS: dict[type[ResponseError], str] = {
    MovedError: "MOVED",
    AskError: "ASK",
    ClusterDownError: "CLUSTERDOWN",
    ClusterCrossSlotError: "CROSSSLOT",
}


class ClusterNodeError(ResponseError):
    """The server is a node of a Redis Cluster, which does not have our keys, or not alone.

    Its argument is the first word of the server's answer.
    """

    def __str__(self) -> str:
        return (
            "REDIS_URL (or REDIS_HOST) names a node of a Redis Cluster, which answers"
            f" {self.args[0]}; clusters are not supported: use a single primary, or Sentinels"
            " (REDIS_SENTINELS)"
        )


async def refuse_cluster(settings: Settings) -> None:
    """Raise SettingsError if the server is a node of a Redis Cluster and refuses our keys.

    One that cannot be reached is waited for later, by whoever asks it.
    """
    try:
        async with asyncio.timeout(PROBE_SECONDS), connect(settings) as redis:
            await redis.exists(Keys(settings.key_prefix).images)
    except ClusterNodeError as error:
        raise SettingsError(str(error)) from None
    except (RedisError, OSError):
        return


def connect(settings: Settings) -> Redis:
    """A client for commands and scripts. They are safe to run twice, so it repeats lost ones."""
    return _client(
        settings,
        socket_timeout=COMMAND_TIMEOUT_SECONDS,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), 3),
        health_check_interval=30,
    )


def connect_blocking(settings: Settings, block_seconds: float) -> Redis:
    """A client of its own for one blocking read: outlasts the block and never repeats by itself.

    A repeated XREADGROUP would leave the entries of the lost answer pending until their lease ends.
    """
    return _client(
        settings,
        socket_timeout=block_seconds + COMMAND_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def _client(settings: Settings, **options: Any) -> Redis:
    options |= {
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "username": settings.redis_username,
        "password": _plain(settings.redis_password),
        **_tls_options(settings),
    }
    bounds: dict[str, Any] = {
        "max_connections": MAX_CONNECTIONS,
        "timeout": COMMAND_TIMEOUT_SECONDS,
    }
    if not settings.sentinels:
        address = settings.redis_address
        kind = parse_url(address).get("connection_class", Connection)
        pool = BlockingConnectionPool.from_url(
            address, connection_class=_naming_clusters(kind), **bounds, **options
        )
        return Redis.from_pool(pool)
    sentinel = Sentinel(
        settings.sentinels,
        sentinel_kwargs={
            "socket_timeout": SENTINEL_TIMEOUT_SECONDS,
            "socket_connect_timeout": SENTINEL_TIMEOUT_SECONDS,
            "retry": Retry(NoBackoff(), 0),
            "password": _plain(settings.redis_sentinel_password),
            "ssl": settings.uses_tls,
            **_tls_options(settings),
        },
    )
    managed = SentinelManagedSSLConnection if settings.uses_tls else SentinelManagedConnection
    return _FoundBySentinel.from_pool(
        _WaitingSentinelPool(
            service_name=settings.redis_sentinel_master,
            sentinel_manager=sentinel,
            connection_class=managed,
            **bounds,
            **options,
        )
    )


def _naming_clusters(kind: type[AbstractConnection]) -> type[AbstractConnection]:
    """A kind of connection that says in plain words what a node of a Redis Cluster answers."""

    class Naming(kind):  # type: ignore[misc,valid-type]
        async def read_response(self, *args: Any, **options: Any) -> Any:
            try:
                return await super().read_response(*args, **options)
            except MasterDownError:  # of a replica; redis-py derives it from ClusterDownError
                raise
            except tuple(_CLUSTER_ANSWERS) as error:
                raise ClusterNodeError(_CLUSTER_ANSWERS[type(error)]) from None

    return Naming


class _WaitingSentinelPool(BlockingConnectionPool, SentinelConnectionPool):
    """Waits for a free connection, where redis-py's own pool for Sentinel only refuses.

    It asks for the master before each new connection, and takes a READONLY for a lost one.
    """


class _FoundBySentinel(Redis):
    """Closes the connections to the Sentinels too, which nobody else would."""

    async def aclose(self, *args: Any, **options: Any) -> None:
        await super().aclose(*args, **options)
        if isinstance(self.connection_pool, SentinelConnectionPool):
            await self.connection_pool.sentinel_manager.aclose()


def _tls_options(settings: Settings) -> dict[str, str]:
    """The host name is checked in any case: that is redis-py's default."""
    files = {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_cert_file,
        "ssl_keyfile": settings.redis_key_file,
    }
    return {name: str(path) for name, path in files.items() if path is not None}


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
