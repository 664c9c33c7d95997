"""Batching: detector inputs of one shape that are ready at the same time share a forward pass."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import structlog

from consumer.errors import SickDetectorError
from consumer.vision.obb import Detections

if TYPE_CHECKING:
    # That module needs torch, which the stand-in detector does without.
    from consumer.vision.detector import Detector

log = structlog.get_logger()

FAILURES_BEFORE_PROBE = 3
"""Inputs that failed alone, one after the other, before the detector itself is suspected."""

LARGE_PIXELS = 1_000_000
"""Inputs over this are passed one at a time: a pass takes up to 250 bytes for each pixel."""

Pixels = npt.NDArray[np.uint8]
Shape = tuple[int, ...]


@dataclass(slots=True)
class _Input:
    pixels: Pixels
    result: asyncio.Future[Detections]
    alone: bool = False
    ready_at: float = field(default_factory=time.monotonic)


class Batcher:
    """Feeds one detector on threads of its own.

    A free thread takes what is ready, oldest shape first, at most `batch_size` inputs, and no more
    than its share while other threads are free too. Only with `max_wait_seconds` > 0 (worth it on
    a GPU) does it wait for more, counted from the first input.

    Args:
        detector: runs a batch; shape (n, h, w, 3) uint8 RGB.
        batch_size: most inputs of one forward pass.
        max_wait_seconds: how long the first input may wait for company.
        passes: forward passes at the same time; large inputs are passed one after the other, so
            that memory stays bounded.
        observe: called with size and seconds of each forward pass that succeeded.
        guard: entered on the inference thread around each forward pass.
    """

    def __init__(
        self,
        detector: "Detector",
        *,
        batch_size: int,
        max_wait_seconds: float,
        passes: int = 1,
        observe: Callable[[int, float], None],
        guard: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._detector = detector
        self._batch_size = batch_size
        self._max_wait = max_wait_seconds
        self._observe = observe
        self._guard = guard
        self._failures = 0
        self._ready: dict[Shape, deque[_Input]] = {}
        self._changed = asyncio.Event()
        self._passes = self._free = passes
        self._large_under_way = False
        self._threads = ThreadPoolExecutor(passes, thread_name_prefix="inference")
        # Always the same thread: if several have OpenMP teams of all CPUs, these are throttled.
        self._wide_thread = ThreadPoolExecutor(1, thread_name_prefix="wide-inference")

    async def detect(self, pixels: Pixels, *, alone: bool = False) -> Detections:
        """Detections of one input, in its pixels; raises what the detector raised on it alone.

        ``alone``: no other image is in work, so that a pass with nothing beside it may have all
        CPUs: sooner done, though two passes at once do more.
        """
        item = _Input(pixels, asyncio.get_running_loop().create_future(), alone)
        self._ready.setdefault(pixels.shape, deque()).append(item)
        self._changed.set()
        return await item.result

    async def detect_all(
        self, inputs: Sequence[Pixels], *, alone: bool = False
    ) -> list[Detections]:
        """Detections of several inputs that belong together: the first failure ends them all."""
        waiting = [asyncio.ensure_future(self.detect(each, alone=alone)) for each in inputs]
        try:
            return await asyncio.gather(*waiting)
        except BaseException:
            for one in waiting:
                one.cancel()
            raise

    async def run(self) -> None:
        """Serve until cancelled.

        Raises SickDetectorError: it failed several inputs in a row, and then a harmless one too.
        """
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    shape = await self._next_shape()
                    await self._wait_for_company(shape)
                    group.create_task(self._serve(self._take(shape), is_large=_is_large(shape)))
        except* SickDetectorError as sick:
            raise sick.exceptions[0] from None
        finally:
            for threads in (self._threads, self._wide_thread):
                threads.shutdown(wait=False, cancel_futures=True)

    async def _next_shape(self) -> Shape:
        """Wait for a free thread and an input that may run now; returns the oldest one's shape."""
        while True:
            self._changed.clear()
            if self._free:
                shapes = [s for s in self._ready if not (self._large_under_way and _is_large(s))]
                if shapes:
                    return min(shapes, key=lambda shape: self._ready[shape][0].ready_at)
            await self._changed.wait()

    async def _wait_for_company(self, shape: Shape) -> None:
        deadline = self._ready[shape][0].ready_at + self._max_wait
        while len(self._ready[shape]) < self._batch_size:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return

    def _take(self, shape: Shape) -> list[_Input]:
        """Take a batch and a thread for it."""
        queue = self._ready[shape]
        share = -(-len(queue) // self._free)
        batch = [queue.popleft() for _ in range(min(share, self._batch_size))]
        if not queue:
            del self._ready[shape]
        self._free -= 1
        self._large_under_way |= _is_large(shape)
        return [item for item in batch if not item.result.cancelled()]

    async def _serve(self, batch: list[_Input], *, is_large: bool) -> None:
        try:
            await self._run_batch(batch)
        finally:
            self._free += 1
            if is_large:
                self._large_under_way = False
            self._changed.set()

    async def _run_batch(self, batch: list[_Input]) -> None:
        """Run a batch; one that fails is halved until only the culprits fail."""
        if not batch:
            return
        loop = asyncio.get_running_loop()
        try:
            alone = self._is_alone(batch)
            found, seconds = await loop.run_in_executor(
                self._wide_thread if alone else self._threads,
                partial(self._forward, batch, alone=alone),
            )
        except Exception as error:  # noqa: BLE001 - whatever it was, it belongs to its image
            await self._bisect(batch, error)
            return
        self._failures = 0
        self._observe(len(batch), seconds)
        for item, detections in zip(batch, found, strict=True):
            if not item.result.done():
                item.result.set_result(detections)

    def _is_alone(self, batch: list[_Input]) -> bool:
        beside = self._passes - self._free - 1
        return len(batch) == 1 and batch[0].alone and not beside and not self._ready

    def _forward(
        self, batch: list[_Input], *, alone: bool = False
    ) -> tuple[list[Detections], float]:
        started = time.perf_counter()
        with self._guard():
            found = self._detector.detect(np.stack([item.pixels for item in batch]), alone=alone)
        return found, time.perf_counter() - started

    async def _bisect(self, batch: list[_Input], error: Exception) -> None:
        if len(batch) == 1:
            if not batch[0].result.done():
                batch[0].result.set_exception(error)
            await self._suspect_the_detector(batch[0].pixels.shape)
            return
        log.warning("batch failed, halving it", images=len(batch), error=repr(error))
        middle = len(batch) // 2
        await self._run_batch(batch[:middle])
        await self._run_batch(batch[middle:])

    async def _suspect_the_detector(self, shape: Shape) -> None:
        """Tell a sick detector from bad images before it spends their deliveries one by one."""
        self._failures += 1
        if self._failures < FAILURES_BEFORE_PROBE:
            return
        noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        probe = _Input(noise, asyncio.get_running_loop().create_future())
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._forward, [probe])
        except Exception as error:
            raise SickDetectorError(
                f"the detector failed {self._failures} images in a row and then noise: {error!r}"
            ) from error
        self._failures = 0


def _is_large(shape: Shape) -> bool:
    return shape[0] * shape[1] > LARGE_PIXELS
