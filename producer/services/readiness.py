"""Whether the producer can take work, checked at most once a second."""

import asyncio
from collections.abc import Awaitable
from time import monotonic
from typing import Literal, TypeVar

import structlog
from pydantic import BaseModel
from redis.exceptions import RedisError

from schemas.logs import described
from schemas.redis.task_store import TaskStore
from schemas.storage.storage import Storage, StorageError

log = structlog.get_logger(__name__)

_CHECK_SECONDS = 4.0
_FRESH_SECONDS = 1.0

T = TypeVar("T")


class ServiceStatus(BaseModel):
    """The service about itself."""

    status: Literal["alive", "ready"]


class Readiness:
    """Checks Redis, storage and room in the backlog. Callers within a second share one check."""

    def __init__(self, store: TaskStore, storage: Storage, *, max_backlog: int) -> None:
        self._store = store
        self._storage = storage
        self._max_backlog = max_backlog
        self._lock = asyncio.Lock()
        self._problems: list[str] = []
        self._fresh_until = 0.0
        self._unavailable: set[str] = set()

    async def problems(self) -> list[str]:
        """Return why the producer can take no work; empty if it can."""
        async with self._lock:
            if monotonic() >= self._fresh_until:
                self._problems = await self._check()
                self._fresh_until = monotonic() + _FRESH_SECONDS
            return self._problems

    async def _check(self) -> list[str]:
        backlog, _ = await asyncio.gather(
            self._result_of("redis", self._store.backlog()),
            self._result_of("storage", self._storage.check()),
        )
        problems = []
        if "redis" in self._unavailable:
            problems.append("Redis cannot be reached")
        if backlog is not None and backlog >= self._max_backlog:
            problems.append("the backlog is full")
        if "storage" in self._unavailable:
            problems.append("the storage cannot be written")
        return problems

    async def _result_of(self, server: str, call: Awaitable[T]) -> T | None:
        """Return the result of a call, or None if its server is unavailable."""
        try:
            async with asyncio.timeout(_CHECK_SECONDS):
                result = await call
        except (RedisError, StorageError, TimeoutError) as error:
            if server not in self._unavailable:  # one line per outage, not per check
                log.warning("server is unavailable", server=server, error=described(error))
            self._unavailable.add(server)
            return None
        self._unavailable.discard(server)
        return result
