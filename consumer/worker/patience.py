"""What passes with time, told from what does not: a lost connection from a wrong command."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from redis.exceptions import (
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from consumer.backoff import persist
from consumer.errors import described

log = structlog.get_logger()

T = TypeVar("T")

_SERVERS_AWAY: tuple[type[Exception], ...] = (RedisError, OSError)
# Missing rights are the operator's mistake: no image may be given up for it.
_PASSING = (OutOfMemoryError, ReadOnlyError, MasterDownError, TryAgainError, NoPermissionError)
_PASSING_TEXTS = (
    "NOREPLICAS", "MISCONF", "BUSY",
    "ACL failure in script", "The user executing the script",  # of Valkey, of Redis
)  # fmt: skip


class Patience:
    """Repeats a call that is safe to repeat for as long as its servers are away.

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
        """The call's answer; raises StoppedError if servers stayed away until `give_up`."""
        return await persist(
            call, transient=transient, give_up=self._give_up, on_failure=_note_or_raise
        )


def _note_or_raise(error: Exception) -> None:
    """Wait for what passes: a lost connection, a failover, a full or starting server."""
    passing = isinstance(error, _PASSING) or str(error).startswith(_PASSING_TEXTS)
    if isinstance(error, ResponseError) and not passing:
        raise error
    log.warning("waiting for a server", error=described(error))
