"""From one file in storage to another: load, work on the pixels, store, in bounded memory."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from consumer.errors import ImageError
from consumer.metrics import WorkerMetrics
from consumer.worker.memory_budget import MemoryBudget
from consumer.worker.poison import PoisonGuard
from consumer.worker.stream import Entry
from schemas.contract.errors import ImageErrorCode
from schemas.redis.task_store import WorkItem
from schemas.retry import Backoff, retry_until_stopped
from schemas.storage.storage import Storage, StorageError, StorageFullError

STORAGE_ATTEMPTS = 6
"""Attempts to read or to write one file, over some seconds, while storage works otherwise."""


class WebpImage(Protocol):
    """What work on an image results in; `webp` is empty if there is nothing to store."""

    @property
    def webp(self) -> bytes:
        """The file."""


T = TypeVar("T")
I = TypeVar("I", bound=WebpImage)  # noqa: E741 - an image


@dataclass(eq=False, repr=False)
class Covering:
    """Makes files; all that a worker makes share the memory. `stop` ends waiting for storage."""

    storage: Storage
    poison: PoisonGuard
    metrics: WorkerMetrics
    budget: MemoryBudget
    load_slots: asyncio.Semaphore
    stop: asyncio.Event

    async def make(
        self,
        entry: Entry,
        item: WorkItem,
        *,
        load: Callable[[], Awaitable[bytes]],
        needed_bytes: Callable[[bytes], Awaitable[int]],
        work: Callable[[bytes], Awaitable[I]],
        key: Callable[[I], str],
    ) -> I:
        """Load, work and store; repeat the two halves while storage is unavailable.

        Other errors are not repeated: they could hold the entry for ever.

        Args:
            load: returns the file.
            needed_bytes: returns the memory that `work` takes.
            key: returns where in storage the result belongs.

        Raises:
            ImageError: the image cannot be processed, or storage refuses only its files.
            StoppedError: storage is unavailable until the stop.
        """

        async def load_and_work(room: ExitStack) -> I:
            async with AsyncExitStack() as held:
                # The slot is held until the image has its memory, so that files that are not
                # decoded yet are bounded too.
                async with self.load_slots:
                    data = await load()
                    await held.enter_async_context(self.poison.watch(entry, item))
                    needed = await needed_bytes(data)
                    await held.enter_async_context(self.budget.hold(needed))
                made = await work(data)
                room.enter_context(self.budget.hold_now(len(made.webp)))
                return made

        transient = (StorageError,)
        # While the result waits for storage, it is part of the memory budget.
        with ExitStack() as room:
            made = await retry_until_stopped(
                partial(load_and_work, room), self.stop, transient=transient
            )
            if made.webp:
                store = partial(self._store, key(made), made.webp)
                await retry_until_stopped(store, self.stop, transient=transient)
        return made

    async def read(self, key: str, *, max_bytes: int) -> bytes:
        """Read a file; raises as `Storage.get`, and ImageError if storage refuses only this one."""
        with self.metrics.stage("load"):
            return await self._while_storage_works(
                lambda: self.storage.get(key, max_bytes=max_bytes), "storage refuses to read"
            )

    async def _store(self, key: str, webp: bytes) -> None:
        async def put() -> None:
            with self.metrics.stage("store"):
                await self.storage.put(key, webp)

        await self._while_storage_works(put, "storage refuses to write the result")

    async def _while_storage_works(self, call: Callable[[], Awaitable[T]], refusal: str) -> T:
        """Repeat a call for one file a few times, while storage works otherwise.

        Raises:
            ImageError: storage refuses this file only.
            StorageError: storage is full or unavailable.
        """
        backoff = Backoff(base=0.2)
        for _ in range(STORAGE_ATTEMPTS):
            try:
                return await call()
            except StorageFullError:
                raise
            except StorageError:
                await self.storage.check()
                await asyncio.sleep(backoff.next_delay())
        raise ImageError(ImageErrorCode.INTERNAL_ERROR, refusal)
