"""Connections to Redis or Valkey, with the time limits that every wait must have."""

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

from schemas.settings import Settings

COMMAND_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 5.0
MAX_CONNECTIONS = 64
"""Of one client at the same time; further commands wait for one, as long as for an answer."""
SENTINEL_TIMEOUT_SECONDS = 2.0
"""Of each Sentinel that is asked for the master; the next one is asked then."""


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
        pool = BlockingConnectionPool.from_url(settings.redis_address, **bounds, **options)
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
    kind = SentinelManagedSSLConnection if settings.uses_tls else SentinelManagedConnection
    return _FoundBySentinel.from_pool(
        _WaitingSentinelPool(
            service_name=settings.redis_sentinel_master,
            sentinel_manager=sentinel,
            connection_class=kind,
            **bounds,
            **options,
        )
    )


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
