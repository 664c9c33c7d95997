"""Whether the producer can take work, asked at most once a second."""

import asyncio
from dataclasses import dataclass
from time import monotonic

import structlog
from redis.exceptions import RedisError

from schemas.redis.task_store import TaskStore
from schemas.storage.storage import Storage, StorageError

log = structlog.get_logger(__name__)

_CHECK_SECONDS = 4.0
_FRESH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """One check; `backlog` is None if Redis is unavailable."""

    reasons: tuple[str, ...]
    backlog: int | None


class Readiness:
    """Redis, storage and room in the backlog; callers within a second share one check."""

    def __init__(self, store: TaskStore, storage: Storage, *, max_backlog: int) -> None:
        self._store = store
        self._storage = storage
        self._max_backlog = max_backlog
        self._lock = asyncio.Lock()
        self._verdict = Verdict((), None)
        self._fresh_until = 0.0
        self._redis_was_well = True
        self._storage_was_well = True

    async def verdict(self) -> Verdict:
        """The newest check, at most a second old."""
        async with self._lock:
            if monotonic() >= self._fresh_until:
                self._verdict = await self._check()
                self._fresh_until = monotonic() + _FRESH_SECONDS
            return self._verdict

    async def _check(self) -> Verdict:
        backlog, stored = await asyncio.gather(self._ask_redis(), self._ask_storage())
        reasons = []
        if backlog is None:
            reasons.append("Redis cannot be reached")
        elif backlog >= self._max_backlog:
            reasons.append("the backlog is full")
        if not stored:
            reasons.append("the storage cannot be written")
        return Verdict(tuple(reasons), backlog)

    async def _ask_redis(self) -> int | None:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                backlog = await self._store.backlog()
        except (RedisError, TimeoutError) as error:
            if self._redis_was_well:  # one line per outage, not per question
                reason = str(error) or f"no answer within {_CHECK_SECONDS:.0f} s"
                log.warning("redis is away", error=f"{type(error).__name__}: {reason}")
            self._redis_was_well = False
            return None
        self._redis_was_well = True
        return backlog

    async def _ask_storage(self) -> bool:
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                await self._storage.check()
        except (StorageError, TimeoutError) as error:
            if self._storage_was_well:
                reason = str(error) or f"no answer within {_CHECK_SECONDS:.0f} s"
                log.warning("storage is away", error=f"{type(error).__name__}: {reason}")
            self._storage_was_well = False
            return False
        self._storage_was_well = True
        return True
