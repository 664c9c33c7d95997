"""`Idempotency-Key`: one key, one task, however often and from wherever the request is sent.

A key is held from before the upload until the task is submitted, by a lease that is renewed
meanwhile: what a killed producer held is free when its lease has ended. The submit binds the key
to the task in one step, and it stays bound as long as the task exists.
"""

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson
import structlog
from redis.exceptions import OutOfMemoryError, RedisError

from producer.errors import (
    KeyInUseError,
    MalformedRequestError,
    RedisAwayError,
    RedisFullError,
    UnsettledSubmitError,
)
from producer.uploads.shielded_tasks import ShieldedTasks
from schemas.redis.task_store import Binding, EarlierUse, KeyBusyError, TaskStore

HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255
KEY_PATTERN = rf"^[!-~]{{1,{MAX_KEY_LENGTH}}}$"

_RESERVE_PATIENCE_SECONDS = 5.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Claim:
    """An idempotency key in the hands of one request; `earlier` if it was used before."""

    record: str
    token: str
    earlier: EarlierUse | None

    def binding(self, files: Iterable[tuple[str, str]]) -> Binding:
        """What the submit is to write; `files` as for `content_digest`."""
        return Binding(self.record, self.token, content_digest(files))


def checked_key(values: list[str]) -> str | None:
    """The key of a request's `Idempotency-Key` headers; raises MalformedRequestError."""
    if not values:
        return None
    if len(values) > 1 or re.fullmatch(KEY_PATTERN, values[0]) is None:
        raise MalformedRequestError(
            f"{HEADER} must be one header of 1 to {MAX_KEY_LENGTH} visible ASCII characters."
        )
    return values[0]


def content_digest(files: Iterable[tuple[str, str]]) -> str:
    """One SHA-256 (hex) for the ordered (file name, SHA-256 in hex) pairs of a request."""
    return hashlib.sha256(orjson.dumps([list(pair) for pair in files])).hexdigest()


class IdempotencyKeys:
    """Claims keys, each for the time of one upload.

    `store` may repeat lost calls: a claim is known by its token.
    """

    def __init__(self, store: TaskStore, cleanups: ShieldedTasks, *, lease_seconds: float) -> None:
        self._store = store
        self._cleanups = cleanups
        self._lease_seconds = lease_seconds

    @asynccontextmanager
    async def claim(self, scope: str, key: str | None) -> AsyncIterator[Claim | None]:
        """Hold a key for the length of a block; None without a key.

        Args:
            scope: whose key it is; two callers' equal keys are different ones.

        Raises:
            KeyInUseError: another request with this key is being received.
            RedisAwayError, RedisFullError: nobody can tell now.
        """
        if key is None:
            yield None
            return
        record = hashlib.sha256(f"{scope}\0{key}".encode()).hexdigest()
        claim = await self._claim(record, secrets.token_hex(16))
        if claim.earlier is not None:
            yield claim
            return
        renewing = asyncio.create_task(self._keep(claim))
        try:
            yield claim
        except UnsettledSubmitError:
            raise  # the key may be bound to the task by now, else it goes by its lease
        except BaseException:
            renewing.cancel()  # first: a renewal after the release would hold the key again
            await self._cleanups.run(self._release(claim))
            raise
        finally:
            renewing.cancel()

    async def _claim(self, record: str, token: str) -> Claim:
        try:
            async with asyncio.timeout(_RESERVE_PATIENCE_SECONDS):
                return Claim(record, token, await self._reserve(record, token))
        except KeyBusyError:
            raise KeyInUseError from None
        except OutOfMemoryError:
            raise RedisFullError from None
        except TimeoutError:
            raise RedisAwayError from None

    async def _reserve(self, record: str, token: str) -> EarlierUse | None:
        return await self._store.reserve(record, token, lease_ms=int(self._lease_seconds * 1000))

    async def _keep(self, claim: Claim) -> None:
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                await self._reserve(claim.record, claim.token)
            except KeyBusyError:
                return  # the lease ran out while Redis was away; the submit will say so
            except RedisError as error:
                log.warning("idempotency key not renewed", error=f"{type(error).__name__}: {error}")

    async def _release(self, claim: Claim) -> None:
        try:
            async with asyncio.timeout(_RESERVE_PATIENCE_SECONDS):
                await self._store.release(claim.record, claim.token)
        except (RedisError, TimeoutError):
            log.warning("idempotency key left to its lease")
