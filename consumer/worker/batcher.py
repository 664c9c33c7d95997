"""Batching: inputs of one network and shape that are ready together share a forward pass."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import structlog

from consumer.errors import BrokenDetectorError
from consumer.vision.steps import NetworkInput, NetworkName, Pixels, RunNetwork
from schemas import tracing
from schemas.logs import described

log = structlog.get_logger()

FAILURES_BEFORE_PROBE = 3
"""Inputs that failed in batches of one, in a row, before the detector itself is tested."""

LARGE_PIXELS = 1_000_000
"""Inputs over this run one after the other: a pass takes up to 250 bytes for each pixel."""


class _Kind(NamedTuple):
    """Inputs of one kind can share a forward pass."""

    network: NetworkName
    shape: tuple[int, ...]

    @property
    def is_large(self) -> bool:
        return self.shape[0] * self.shape[1] > LARGE_PIXELS


@dataclass(slots=True)
class _Input:
    pixels: Pixels
    result: asyncio.Future[Any]
    traceparent: str
    """Of the image's span."""
    pass_traceparent: str = ""
    """Of the forward pass that it was in."""
    ready_at: float = field(default_factory=time.monotonic)


@dataclass(eq=False, repr=False)
class Batcher:
    """Runs the networks on threads of its own.

    A free thread takes what is ready, oldest kind first, at most `batch_size` inputs, and no more
    than its share while other threads are free too. Only with `max_wait_seconds` > 0 (worth it on
    a GPU) does it wait for more, counted from the first input.

    Args:
        run_network: runs a batch; shape (n, h, w, 3) uint8 RGB.
        batch_size: maximum inputs of one forward pass.
        observe: called with network, size and seconds of each forward pass that succeeded.
        max_wait_seconds: how long the first input may wait for others.
        passes: forward passes at the same time; large inputs run one after the other, so that
            memory stays bounded.
        guard: entered on the inference thread around each forward pass.
    """

    run_network: RunNetwork
    batch_size: int
    observe: Callable[[NetworkName, int, float], None]
    max_wait_seconds: float = 0
    passes: int = 1
    guard: Callable[[], AbstractContextManager[None]] = nullcontext

    def __post_init__(self) -> None:
        self._failures = 0
        self._ready: dict[_Kind, deque[_Input]] = {}
        self._changed = asyncio.Event()
        self._free = self.passes
        self._large_under_way = False
        self._threads = ThreadPoolExecutor(self.passes, thread_name_prefix="inference")

    async def run_inputs(self, inputs: Sequence[NetworkInput]) -> list[Any]:
        """Return the results of the networks for inputs of one image.

        Raises:
            Exception: what the network raised on one of them; the others are cancelled.
        """
        with tracing.span("inference", attributes={"plate.inputs": len(inputs)}) as span:
            return await self._run_inputs(inputs, span)

    async def _run_inputs(self, inputs: Sequence[NetworkInput], span: tracing.Span) -> list[Any]:
        loop, traceparent = asyncio.get_running_loop(), span.traceparent
        items = [_Input(each.pixels, loop.create_future(), traceparent) for each in inputs]
        for each, item in zip(inputs, items, strict=True):
            kind = _Kind(each.network, each.pixels.shape)
            self._ready.setdefault(kind, deque()).append(item)
        self._changed.set()
        try:
            return await asyncio.gather(*(item.result for item in items))
        finally:
            for item in items:
                item.result.cancel()
            for passed in dict.fromkeys(item.pass_traceparent for item in items):
                if passed:
                    span.link(passed)

    async def run(self) -> None:
        """Serve until cancelled.

        Raises:
            BrokenDetectorError: a network failed several inputs in a row, then noise too.
        """
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    kind = await self._next_kind()
                    await self._wait_for_more(kind)
                    group.create_task(self._serve(kind, self._take(kind)))
        except* BrokenDetectorError as broken:
            raise broken.exceptions[0] from None
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _next_kind(self) -> _Kind:
        """Wait for a free thread and an input that may run now; return the oldest one's kind."""
        while True:
            self._changed.clear()
            if self._free:
                kinds = [k for k in self._ready if not (self._large_under_way and k.is_large)]
                if kinds:
                    return min(kinds, key=lambda kind: self._ready[kind][0].ready_at)
            await self._changed.wait()

    async def _wait_for_more(self, kind: _Kind) -> None:
        deadline = self._ready[kind][0].ready_at + self.max_wait_seconds
        while len(self._ready[kind]) < self.batch_size:
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return

    def _take(self, kind: _Kind) -> list[_Input]:
        """Take a batch and a thread for it."""
        queue = self._ready[kind]
        share = -(-len(queue) // self._free)
        batch = [queue.popleft() for _ in range(min(share, self.batch_size))]
        if not queue:
            del self._ready[kind]
        self._free -= 1
        self._large_under_way |= kind.is_large
        return [item for item in batch if not item.result.cancelled()]

    async def _serve(self, kind: _Kind, batch: list[_Input]) -> None:
        try:
            await self._run_batch(kind, batch)
        finally:
            self._free += 1
            if kind.is_large:
                self._large_under_way = False
            self._changed.set()

    async def _run_batch(self, kind: _Kind, batch: list[_Input]) -> None:
        """Run a batch; halve one that fails until only the inputs that cause it fail."""
        if not batch:
            return
        attributes = {"plate.network": kind.network, "plate.batch_size": len(batch)}
        shared_by = [item.traceparent for item in batch]
        try:
            with tracing.shared_span("forward pass", shared_by, attributes=attributes) as span:
                for item in batch:
                    item.pass_traceparent = span.traceparent
                pixels = [item.pixels for item in batch]
                results, seconds = await self._forward(kind.network, pixels)
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns its image
            await self._bisect(kind, batch, error)
            return
        self._failures = 0
        self.observe(kind.network, len(batch), seconds)
        for item, result in zip(batch, results, strict=True):
            if not item.result.done():
                item.result.set_result(result)

    async def _forward(self, network: NetworkName, batch: list[Pixels]) -> tuple[list[Any], float]:
        def call() -> tuple[list[Any], float]:
            started = time.perf_counter()
            with self.guard():
                results = self.run_network(network, np.stack(batch))
            return results, time.perf_counter() - started

        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def _bisect(self, kind: _Kind, batch: list[_Input], error: Exception) -> None:
        if len(batch) == 1:
            if not batch[0].result.done():
                batch[0].result.set_exception(error)
            await self._test_network(kind)
            return
        log.warning("batch failed, halving it", images=len(batch), error=described(error))
        middle = len(batch) // 2
        await self._run_batch(kind, batch[:middle])
        await self._run_batch(kind, batch[middle:])

    async def _test_network(self, kind: _Kind) -> None:
        """After several failures, test the network, before it uses up the images' deliveries."""
        self._failures += 1
        if self._failures < FAILURES_BEFORE_PROBE:
            return
        noise = np.random.default_rng(0).integers(0, 256, kind.shape, np.uint8)
        try:
            await self._forward(kind.network, [noise])
        except Exception as error:
            raise BrokenDetectorError(
                f"the {kind.network} network failed {self._failures} inputs in a row and then"
                f" noise: {error!r}"
            ) from error
        self._failures = 0
