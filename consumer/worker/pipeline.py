"""The stages of an image: decoding, covering and encoding on threads, detection in batches."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from consumer.health import Health
from consumer.metrics import WorkerMetrics
from consumer.vision.detect.heads import Array
from consumer.vision.finding import (
    CorrectedImage,
    CoveredImage,
    CoverOptions,
    add_covers,
    bytes_to_add_covers,
    cover_plates,
    needed_bytes,
)
from consumer.vision.steps import Steps, advance
from consumer.worker.batcher import Batcher

T = TypeVar("T")

STAGE_LIMIT_SECONDS = 600.0
"""Maximum time of one call on a thread; many times what the largest image takes."""


@dataclass(eq=False, repr=False)
class ImagePipeline:
    """Covers images. The event loop only waits: all work is on threads.

    `in_flight`: the images that the process has in flight. `thread_count`: number of `threads`.
    """

    batcher: Batcher
    in_flight: Sized
    threads: ThreadPoolExecutor
    thread_count: int
    options: CoverOptions
    metrics: WorkerMetrics
    health: Health

    async def needed_bytes(self, data: bytes) -> int:
        """Return the memory that `cover` takes; raises ImageError if the header is bad."""
        return await self._in_thread(needed_bytes, data, self.options)

    async def cover(self, data: bytes) -> CoveredImage:
        """Cover the plates of an image file; raises ImageError if it cannot be processed, ever."""
        steps = cover_plates(
            data, self.options, has_backlog=self._has_backlog, stage=self.metrics.stage
        )
        return await run_batched(steps, self.batcher, self._in_thread)

    async def bytes_to_add_covers(self, data: bytes) -> int:
        """Return the memory that `add_covers` takes; raises ImageError if the header is bad."""
        return await self._in_thread(bytes_to_add_covers, data, self.options)

    async def add_covers(self, data: bytes, corrections: Sequence[Array]) -> CorrectedImage:
        """Add covers to a result; raises ImageError if it is damaged."""
        call = partial(add_covers, has_backlog=self._has_backlog, stage=self.metrics.stage)
        return await self._in_thread(call, data, corrections, self.options)

    def _has_backlog(self) -> bool:
        """Return whether images wait for a thread."""
        return len(self.in_flight) > self.thread_count

    async def _in_thread(self, call: Callable[..., T], *args: Any) -> T:
        """Run a call on a thread, watched by the watchdog."""

        def guarded() -> T:
            with self.health.deadline("stage of an image", STAGE_LIMIT_SECONDS):
                return call(*args)

        context = copy_context()  # the current span, for those of stages
        return await asyncio.get_running_loop().run_in_executor(self.threads, context.run, guarded)


async def run_batched(
    steps: Steps[T], batcher: Batcher, in_thread: Callable[..., Awaitable[Any]]
) -> T:
    """Run steps on threads and their networks' inputs in batches; return the steps' value."""
    step = await in_thread(advance, steps)
    while isinstance(step, list):
        step = await in_thread(advance, steps, await batcher.run_inputs(step))
    value: T = step
    return value
