"""`Idempotency-Key`: one key, one task, however often and to which producer a request is sent.

A key is held from before the upload until the task is submitted, by a lease that is renewed
meanwhile: a key that a killed producer held is free when the lease has ended. The submit binds the
key to the task in one step, and it stays bound as long as the task exists.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from redis.exceptions import OutOfMemoryError, RedisError

from producer.errors import (
    KeyInUseError,
    MalformedRequestError,
    RedisFullError,
    RedisUnavailableError,
    UnsettledSubmitError,
)
from producer.services.shutdown import ShieldedTasks
from schemas.logs import described
from schemas.redis.task_store import EarlierUse, KeyBusyError, TaskStore
from schemas.retry import run_periodically

HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255
KEY_PATTERN = rf"^[!-~]{{1,{MAX_KEY_LENGTH}}}$"

_REDIS_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """An idempotency key that a request holds; `earlier`: the task that it was used for before."""

    record: str
    token: str
    earlier: EarlierUse | None


def checked_key(values: list[str]) -> str | None:
    """Return the key in a request's `Idempotency-Key` headers; raises MalformedRequestError."""
    if not values:
        return None
    if len(values) > 1 or re.fullmatch(KEY_PATTERN, values[0]) is None:
        raise MalformedRequestError(
            f"{HEADER} must be one header of 1 to {MAX_KEY_LENGTH} visible ASCII characters."
        )
    return values[0]


class IdempotencyKeys:
    """Claims keys, each for the time of one upload.

    `store` may repeat lost calls: a claim is known by its token.
    """

    def __init__(self, store: TaskStore, cleanups: ShieldedTasks, *, lease_seconds: float) -> None:
        self._store = store
        self._cleanups = cleanups
        self._lease_seconds = lease_seconds

    @asynccontextmanager
    async def claim(self, scope: str, key: str | None) -> AsyncIterator[KeyClaim | None]:
        """Hold a key for the length of a block; give None without a key.

        Args:
            scope: equal keys of different scopes are different keys.

        Raises:
            KeyInUseError: another request with this key is being received.
            RedisUnavailableError, RedisFullError: it cannot be held now.
        """
        if key is None:
            yield None
            return
        record = hashlib.sha256(f"{scope}\0{key}".encode()).hexdigest()
        claim = await self._claim(record, secrets.token_hex(16))
        if claim.earlier is not None:
            yield claim
            return
        renewing = asyncio.create_task(self._renew(claim))
        try:
            yield claim
        except UnsettledSubmitError:
            raise  # the key may be bound to the task; if it is not, its lease ends
        except BaseException:
            renewing.cancel()  # first: a renewal after the release would hold the key again
            await self._cleanups.run(self._release(claim))
            raise
        finally:
            renewing.cancel()

    async def _claim(self, record: str, token: str) -> KeyClaim:
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                return KeyClaim(record, token, await self._reserve(record, token))
        except KeyBusyError:
            raise KeyInUseError from None
        except OutOfMemoryError:
            raise RedisFullError from None
        except TimeoutError:
            raise RedisUnavailableError from None

    async def _reserve(self, record: str, token: str) -> EarlierUse | None:
        return await self._store.reserve(record, token, lease_ms=int(self._lease_seconds * 1000))

    async def _renew(self, claim: KeyClaim) -> None:
        lost = asyncio.Event()

        async def renew() -> float:
            try:
                await self._reserve(claim.record, claim.token)
            except KeyBusyError:  # the lease ended while Redis was unavailable
                lost.set()  # and the submit will fail
            return self._lease_seconds / 3

        await asyncio.sleep(self._lease_seconds / 3)
        await run_periodically("idempotency key", renew, lost)

    async def _release(self, claim: KeyClaim) -> None:
        try:
            async with asyncio.timeout(_REDIS_SECONDS):
                await self._store.release(claim.record, claim.token)
        except (RedisError, TimeoutError) as error:
            log.warning("idempotency key is held until its lease ends", error=described(error))
