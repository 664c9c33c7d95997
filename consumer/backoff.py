"""Waiting between attempts: exponential with full jitter, and ended at once by a stop."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.exceptions import (
    MasterDownError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

from schemas.redis.client import ClusterNodeError

T = TypeVar("T")

# Missing rights are the operator's mistake: no image may be given up for it.
# So is the address of a cluster.
_PASSING = (
    OutOfMemoryError, ReadOnlyError, MasterDownError, TryAgainError, NoPermissionError,
    ClusterNodeError,
)  # fmt: skip
_PASSING_TEXTS = (
    "NOREPLICAS", "MISCONF", "BUSY",
    "ACL failure in script", "The user executing the script",  # of Valkey, of Redis
)  # fmt: skip


def is_passing(error: ResponseError) -> bool:
    """Whether a server's refusal passes with time, whatever it was asked: a failover, say."""
    return isinstance(error, _PASSING) or str(error).startswith(_PASSING_TEXTS)


class StoppedError(Exception):
    """The process is stopping; the work in question is left to be redelivered."""


class Backoff:
    """Delays in seconds that double from `base` to `cap`, each scaled by a random 0.5..1."""

    def __init__(self, base: float = 0.1, cap: float = 2.0) -> None:
        self._base = base
        self._cap = cap
        self._tries = 0

    def next_delay(self) -> float:
        """The delay before the next try."""
        delay = min(self._cap, self._base * 2.0 ** min(self._tries, 16))
        self._tries += 1
        return delay * random.uniform(0.5, 1)  # noqa: S311 - jitter is no secret

    def reset(self) -> None:
        """Begin anew after a success."""
        self._tries = 0


async def pause(seconds: float, stop: asyncio.Event) -> bool:
    """Wait, but not past a stop; True if stopped."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


async def retry_until_stopped(
    call: Callable[[], Awaitable[T]],
    *,
    transient: tuple[type[Exception], ...],
    give_up: asyncio.Event,
    on_failure: Callable[[Exception], None],
) -> T:
    """Repeat a call that is safe to repeat until it succeeds.

    Raises:
        StoppedError: `give_up` was set while the call kept failing.
    """
    backoff = Backoff()
    while True:
        try:
            return await call()
        except transient as error:
            on_failure(error)
            if await pause(backoff.next_delay(), give_up):
                raise StoppedError from error
