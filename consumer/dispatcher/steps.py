"""Long-lived loops made of small steps, that outlast Redis and storage being unavailable."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from redis.exceptions import RedisError, ResponseError

from consumer.backoff import Backoff, StoppedError, is_passing, pause
from consumer.errors import described
from schemas.storage.storage import StorageError

log = structlog.get_logger()

TRANSIENT: tuple[type[Exception], ...] = (RedisError, StorageError, OSError)
"""What passes with time. All of Redis' errors: a failover shows as many different ones."""


def concerns_one(error: BaseException) -> bool:
    """Whether an error comes of the one thing that was asked about, and not of its server.

    Others can write to the same keys: a value that nobody foresaw must not hold up what is behind
    it. What any other question would meet as well passes with time.
    """
    if isinstance(error, ResponseError):
        return not is_passing(error) and "NOGROUP" not in str(error)
    return isinstance(error, Exception) and not isinstance(error, (*TRANSIENT, StoppedError))


async def run_periodically(
    name: str,
    step: Callable[[], Awaitable[float]],
    stop: asyncio.Event,
    wakeup: asyncio.Event | None = None,
) -> None:
    """Repeat `step` until `stop`; it returns the seconds to wait before it is due again.

    Args:
        name: of the loop, for the log.
        wakeup: ends a wait early; whoever sets `stop` sets it too. Default: `stop` itself.
    """
    backoff = Backoff()
    away = False
    while not stop.is_set():
        try:
            seconds = await step()
        except TRANSIENT as error:
            if not away:
                # One line per outage, not per attempt.
                log.warning("interrupted", loop=name, error=described(error))
            away = True
            await pause(backoff.next_delay(), stop)
            continue
        if away:
            log.info("resumed", loop=name)
        away = False
        backoff.reset()
        if seconds > 0:
            await pause(seconds, wakeup or stop)
