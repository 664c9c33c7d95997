"""Retrying while a server is unavailable: which errors pass, how long to wait, when to stop.

All waits grow exponentially with jitter, and a stop ends each of them at once.
"""

import asyncio
import random
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

from schemas.logs import described, is_of_cluster
from schemas.storage.storage import StorageError

log = structlog.get_logger()

T = TypeVar("T")

TRANSIENT: tuple[type[Exception], ...] = (RedisError, StorageError, OSError)
"""Errors of servers. A failover of Redis shows as many different ones."""

# Missing rights and the address of a cluster are the operator's mistakes: no image is dead-lettered
# because of them.
_PASSING = (OutOfMemoryError, ReadOnlyError, MasterDownError, TryAgainError, NoPermissionError)
_PASSING_TEXTS = (
    "NOREPLICAS", "MISCONF", "BUSY",
    "ACL failure in script", "The user executing the script",  # of Valkey, of Redis
)  # fmt: skip


class StoppedError(Exception):
    """The process is stopping; the work in question is left to be redelivered."""


def is_passing(error: BaseException) -> bool:
    """Return whether an error is of a server and passes with time: not one of a wrong command."""
    if isinstance(error, ResponseError) and not is_of_cluster(error):
        return isinstance(error, _PASSING) or str(error).startswith(_PASSING_TEXTS)
    return isinstance(error, TRANSIENT)


def is_missing_group(error: BaseException) -> bool:
    """Return whether Redis refused because the consumer group or its stream does not exist."""
    return isinstance(error, ResponseError) and "NOGROUP" in str(error)


def concerns_one(error: BaseException) -> bool:
    """Return whether an error concerns only the item that was asked for, and not its server.

    Others can write to the same keys: one unexpected value must not stop the items after
    it.
    """
    if not isinstance(error, Exception) or isinstance(error, StoppedError):
        return False
    return not is_passing(error) and not is_missing_group(error)


class Backoff:
    """Delays in seconds that double from ``base`` to ``cap``, each scaled by a random 0.5 to 1."""

    def __init__(self, base: float = 0.1, cap: float = 2.0) -> None:
        self._base = base
        self._cap = cap
        self._failures = 0

    def next_delay(self) -> float:
        """Return the delay before the next attempt."""
        delay = min(self._cap, self._base * 2.0 ** min(self._failures, 16))
        self._failures += 1
        return delay * random.uniform(0.5, 1)  # noqa: S311 - jitter is no secret

    def reset(self) -> None:
        """Start again from ``base``, after a success."""
        self._failures = 0


async def pause(seconds: float, stop: asyncio.Event) -> bool:
    """Wait, but not past ``stop``; return whether it is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return False
    return True


async def retry_until_stopped(
    call: Callable[[], Awaitable[T]],
    stop: asyncio.Event,
    *,
    transient: tuple[type[Exception], ...] = TRANSIENT,
) -> T:
    """Repeat a call that is safe to repeat while its servers are unavailable; return its result.

    Raises:
        StoppedError: ``stop`` was set while the call kept failing.
        Exception: one that is not ``transient``, or with which Redis refused the command itself.
    """
    backoff = Backoff()
    while True:
        try:
            return await call()
        except transient as error:
            if isinstance(error, ResponseError) and not is_passing(error):
                raise
            log.warning("waiting for a server", error=described(error))
            if await pause(backoff.next_delay(), stop):
                raise StoppedError from error


async def run_periodically(
    name: str,
    step: Callable[[], Awaitable[float]],
    stop: asyncio.Event,
    *,
    wakeup: asyncio.Event | None = None,
    backoff: Backoff | None = None,
) -> None:
    """Repeat ``step`` until ``stop``, while servers are unavailable too.

    Args:
        name: of the loop, for the log.
        step: returns the seconds until it is due again.
        wakeup: ends a wait early; code that sets ``stop`` sets it too. Default: ``stop`` itself.
        backoff: the waits after failures.
    """
    backoff = backoff or Backoff()
    is_interrupted = False
    while not stop.is_set():
        try:
            seconds = await step()
        except TRANSIENT as error:
            if not is_interrupted:  # one line per outage, not per attempt
                log.warning("interrupted", loop=name, error=described(error))
            is_interrupted = True
            await pause(backoff.next_delay(), stop)
            continue
        if is_interrupted:
            log.info("resumed", loop=name)
        is_interrupted = False
        backoff.reset()
        if seconds > 0:
            await pause(seconds, wakeup or stop)
