"""Batching: detector inputs of one shape that are ready at the same time share a forward pass."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np
import structlog

from consumer.errors import BrokenDetectorError
from consumer.vision.detect.detector import Detector
from consumer.vision.detect.obb import Detections
from consumer.vision.views.view import Pixels
from schemas.logs import described

log = structlog.get_logger()

FAILURES_BEFORE_PROBE = 3
"""Inputs that failed in batches of one, in a row, before the detector itself is tested."""

LARGE_PIXELS = 1_000_000
"""Inputs over this run one after the other: a pass takes up to 250 bytes for each pixel."""

Shape = tuple[int, ...]


@dataclass(slots=True)
class _Input:
    pixels: Pixels
    result: asyncio.Future[Detections]
    ready_at: float = field(default_factory=time.monotonic)


@dataclass(eq=False, repr=False)
class Batcher:
    """Runs one detector on threads of its own.

    A free thread takes what is ready, oldest shape first, at most `batch_size` inputs, and no more
    than its share while other threads are free too. Only with `max_wait_seconds` > 0 (worth it on
    a GPU) does it wait for more, counted from the first input.

    A pass that has the machine to itself is wide, it may use all CPUs: it ends sooner, though two
    narrow passes at once do more.

    Args:
        detector: runs a batch; shape (n, h, w, 3) uint8 RGB.
        in_flight: the images that the process has in flight.
        batch_size: maximum inputs of one forward pass.
        observe: called with size and seconds of each forward pass that succeeded.
        max_wait_seconds: how long the first input may wait for others.
        passes: forward passes at the same time; large inputs run one after the other, so that
            memory stays bounded.
        guard: entered on the inference thread around each forward pass.
    """

    detector: Detector
    in_flight: Sized
    batch_size: int
    observe: Callable[[int, float], None]
    max_wait_seconds: float = 0
    passes: int = 1
    guard: Callable[[], AbstractContextManager[None]] = nullcontext

    def __post_init__(self) -> None:
        self._failures = 0
        self._ready: dict[Shape, deque[_Input]] = {}
        self._changed = asyncio.Event()
        self._free = self.passes
        self._large_under_way = False
        self._threads = ThreadPoolExecutor(self.passes, thread_name_prefix="inference")
        # Always the same thread: several threads with OpenMP teams of all CPUs are throttled.
        self._wide_thread = ThreadPoolExecutor(1, thread_name_prefix="wide-inference")

    async def detect(self, inputs: Sequence[Pixels]) -> list[Detections]:
        """Return the detections in each of several inputs of one image, in the inputs' pixels.

        Raises:
            Exception: what the detector raised on one of them; the others are cancelled.
        """
        loop = asyncio.get_running_loop()
        items = [_Input(pixels, loop.create_future()) for pixels in inputs]
        for item in items:
            self._ready.setdefault(item.pixels.shape, deque()).append(item)
        self._changed.set()
        try:
            return await asyncio.gather(*(item.result for item in items))
        finally:
            for item in items:
                item.result.cancel()

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            BrokenDetectorError: the detector failed several inputs in a row, then noise too.
        """
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    shape = await self._next_shape()
                    await self._wait_for_more(shape)
                    group.create_task(self._serve(self._take(shape), is_large=_is_large(shape)))
        except* BrokenDetectorError as broken:
            raise broken.exceptions[0] from None
        finally:
            for threads in (self._threads, self._wide_thread):
                threads.shutdown(wait=False, cancel_futures=True)

    async def _next_shape(self) -> Shape:
        """Wait for a free thread and an input that may run now; return the oldest one's shape."""
        while True:
            self._changed.clear()
            if self._free:
                shapes = [s for s in self._ready if not (self._large_under_way and _is_large(s))]
                if shapes:
                    return min(shapes, key=lambda shape: self._ready[shape][0].ready_at)
            await self._changed.wait()

    async def _wait_for_more(self, shape: Shape) -> None:
        deadline = self._ready[shape][0].ready_at + self.max_wait_seconds
        while len(self._ready[shape]) < self.batch_size:
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
        batch = [queue.popleft() for _ in range(min(share, self.batch_size))]
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
        """Run a batch; halve one that fails until only the inputs that cause it fail."""
        if not batch:
            return
        try:
            found, seconds = await self._forward(
                [item.pixels for item in batch], wide=self._has_the_machine(batch)
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns its image
            await self._bisect(batch, error)
            return
        self._failures = 0
        self.observe(len(batch), seconds)
        for item, detections in zip(batch, found, strict=True):
            if not item.result.done():
                item.result.set_result(detections)

    def _has_the_machine(self, batch: list[_Input]) -> bool:
        """Return whether there is one input, no other pass and no other image in flight."""
        others = self.passes - self._free - 1
        return len(batch) == 1 and not others and not self._ready and len(self.in_flight) <= 1

    async def _forward(
        self, batch: list[Pixels], *, wide: bool = False
    ) -> tuple[list[Detections], float]:
        def call() -> tuple[list[Detections], float]:
            started = time.perf_counter()
            with self.guard():
                found = self.detector.detect(np.stack(batch), wide=wide)
            return found, time.perf_counter() - started

        threads = self._wide_thread if wide else self._threads
        return await asyncio.get_running_loop().run_in_executor(threads, call)

    async def _bisect(self, batch: list[_Input], error: Exception) -> None:
        if len(batch) == 1:
            if not batch[0].result.done():
                batch[0].result.set_exception(error)
            await self._test_detector(batch[0].pixels.shape)
            return
        log.warning("batch failed, halving it", images=len(batch), error=described(error))
        middle = len(batch) // 2
        await self._run_batch(batch[:middle])
        await self._run_batch(batch[middle:])

    async def _test_detector(self, shape: Shape) -> None:
        """After several failures, test the detector, before it uses up the images' deliveries."""
        self._failures += 1
        if self._failures < FAILURES_BEFORE_PROBE:
            return
        noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        try:
            await self._forward([noise])
        except Exception as error:
            raise BrokenDetectorError(
                f"the detector failed {self._failures} images in a row and then noise: {error!r}"
            ) from error
        self._failures = 0


def _is_large(shape: Shape) -> bool:
    return shape[0] * shape[1] > LARGE_PIXELS
