"""Retrying while a server is unavailable, and only then: never a wrong command."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from redis.exceptions import RedisError, ResponseError

from consumer.backoff import is_passing, retry_until_stopped
from consumer.errors import described

log = structlog.get_logger()

T = TypeVar("T")

_SERVERS_AWAY: tuple[type[Exception], ...] = (RedisError, OSError)


class ServerRetry:
    """Repeats a call that is safe to repeat for as long as its servers are unavailable.

    Args:
        give_up: set when the process may wait no longer.
    """

    def __init__(self, give_up: asyncio.Event) -> None:
        self._give_up = give_up

    async def __call__(
        self,
        call: Callable[[], Awaitable[T]],
        transient: tuple[type[Exception], ...] = _SERVERS_AWAY,
    ) -> T:
        """The call's answer; raises StoppedError if servers stayed unavailable until `give_up`."""
        return await retry_until_stopped(
            call, transient=transient, give_up=self._give_up, on_failure=_note_or_raise
        )


def _note_or_raise(error: Exception) -> None:
    """Wait for what passes: a lost connection, a failover, a full or starting server."""
    if isinstance(error, ResponseError) and not is_passing(error):
        raise error
    log.warning("waiting for a server", error=described(error))
