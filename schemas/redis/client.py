"""Connections to Redis or Valkey, with a time limit for every wait."""

import asyncio
from typing import Any

from pydantic import SecretStr
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.crc import key_slot
from redis.exceptions import RedisError

from schemas.logs import described, is_of_cluster
from schemas.redis.cluster import NoClusterError, SlotOwner, cluster_pool
from schemas.redis.keys import Keys
from schemas.settings.base import Settings, SettingsError

COMMAND_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 5.0
MAX_CONNECTIONS = 64
"""Of one client; further commands wait COMMAND_TIMEOUT_SECONDS for a free connection."""
SENTINEL_TIMEOUT_SECONDS = 2.0
"""For each Sentinel; after it, the next one is queried for the master."""
PROBE_SECONDS = 2.0
"""Longest wait at the start for the check whether the server is of the kind that is set."""


async def check_kind(settings: Settings) -> None:
    """Raise SettingsError if the settings take a node of a Redis Cluster for a single server.

    Or the other way round: see REDIS_CLUSTER_NODES.

    A server that is unavailable is not checked: its users wait for it later.
    """
    try:
        async with asyncio.timeout(PROBE_SECONDS), connect(settings) as redis:
            await redis.exists(Keys(settings.key_prefix).images)
    except (RedisError, OSError) as error:
        if isinstance(error, NoClusterError):
            raise SettingsError(str(error)) from None
        if is_of_cluster(error):
            raise SettingsError(described(error)) from None


def connect(settings: Settings) -> Redis:
    """Return a client that retries lost commands and scripts; all of ours are safe to repeat."""
    return _client(
        settings,
        socket_timeout=COMMAND_TIMEOUT_SECONDS,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), 3),
        health_check_interval=30,
    )


def connect_blocking(settings: Settings, block_seconds: float) -> Redis:
    """Return a client for blocking reads, which waits longer than the block and never retries.

    A retried XREADGROUP would leave the entries of a lost response pending until their lease ends.
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
        "max_connections": MAX_CONNECTIONS,
        "timeout": COMMAND_TIMEOUT_SECONDS,  # of the wait for a free connection
        **_tls_options(settings),
    }
    if settings.cluster_nodes:
        return Redis.from_pool(_cluster_pool(settings, options))
    if not settings.sentinels:
        return Redis.from_pool(BlockingConnectionPool.from_url(settings.redis_address, **options))
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
    return _SentinelClient.from_pool(
        _WaitingSentinelPool(
            service_name=settings.redis_sentinel_master,
            sentinel_manager=sentinel,
            connection_class=managed,
            **options,
        )
    )


def _cluster_pool(settings: Settings, options: dict[str, Any]) -> BlockingConnectionPool:
    owner = SlotOwner(
        settings.cluster_nodes,
        key_slot(settings.key_prefix.encode()),
        username=options["username"],
        password=options["password"],
        ssl=settings.uses_tls,
        **_tls_options(settings),
    )
    return cluster_pool(owner, uses_tls=settings.uses_tls, **options)


class _WaitingSentinelPool(BlockingConnectionPool, SentinelConnectionPool):
    """A pool that waits for a free connection; redis-py's own pool for Sentinel raises an error.

    It queries the master before each new connection, and treats READONLY as a lost connection.
    """


class _SentinelClient(Redis):
    """A client that also closes the connections to the Sentinels."""

    async def aclose(self, *args: Any, **options: Any) -> None:
        await super().aclose(*args, **options)
        if isinstance(self.connection_pool, SentinelConnectionPool):
            await self.connection_pool.sentinel_manager.aclose()


def _tls_options(settings: Settings) -> dict[str, str]:
    """Return the certificate files; redis-py checks the host name by default."""
    files = {
        "ssl_ca_certs": settings.redis_ca_file,
        "ssl_certfile": settings.redis_cert_file,
        "ssl_keyfile": settings.redis_key_file,
    }
    return {name: str(path) for name, path in files.items() if path is not None}


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
