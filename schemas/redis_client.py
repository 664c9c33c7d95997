"""Connections to Redis or Valkey, with the time limits that every wait must have."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff

from schemas.settings import Settings

COMMAND_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 5.0


def connect(settings: Settings) -> Redis:
    """A client for commands and scripts. They are safe to run twice, so it repeats lost ones."""
    return Redis.from_url(
        settings.redis_address,
        socket_timeout=COMMAND_TIMEOUT_SECONDS,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=1.0), 3),
        health_check_interval=30,
    )


def connect_blocking(settings: Settings, block_seconds: float) -> Redis:
    """A client of its own for one blocking read: outlasts the block and never repeats by itself.

    A repeated XREADGROUP would leave the entries of the lost answer pending until their lease ends.
    """
    return Redis.from_url(
        settings.redis_address,
        socket_timeout=block_seconds + COMMAND_TIMEOUT_SECONDS,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
