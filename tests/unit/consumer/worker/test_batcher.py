"""Batching with a detector that records its inputs (other tests use the real one)."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from consumer.vision.detect.obb import Detections
from consumer.vision.steps import NetworkInput, NetworkName, Pixels
from consumer.worker.batcher import Batcher


class RecordingDetector:
    """Returns each input's first pixel as its score; fails on the value 13."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, ...]] = []
        self.networks: list[NetworkName] = []
        self.free = threading.Event()
        self.free.set()

    def run(self, network: NetworkName, batch: Pixels) -> list[Detections]:
        assert self.free.wait(5)
        self.networks.append(network)
        self.batches.append(batch.shape)
        if (batch[:, 0, 0, 0] == 13).any():
            raise RuntimeError("poison")
        empty = np.zeros((1, 4, 2), np.float32)
        return [Detections(empty, image[0, 0, :1].astype(np.float32)) for image in batch]


def pixels(value: int, height: int = 32, width: int = 64) -> Pixels:
    return np.full((height, width, 3), value, np.uint8)


@asynccontextmanager
async def running(
    detector: RecordingDetector, wait: float = 0, passes: int = 1
) -> AsyncIterator[Batcher]:
    batcher = Batcher(
        detector.run, batch_size=4, max_wait_seconds=wait, passes=passes,
        observe=lambda _network, _size, _seconds: None,
    )  # fmt: skip
    task = asyncio.create_task(batcher.run())
    try:
        async with asyncio.timeout(10):
            yield batcher
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def score(batcher: Batcher, image: Pixels) -> float:
    [found] = await batcher.run_inputs([NetworkInput("detector", image)])
    return float(found.scores[0])


async def test_each_image_gets_its_own_result_in_full_batches() -> None:
    detector = RecordingDetector()
    async with running(detector) as batcher:
        results = await asyncio.gather(*(score(batcher, pixels(v)) for v in range(10)))
    assert results == list(range(10))
    assert [shape[0] for shape in detector.batches] == [4, 4, 2]


async def test_only_one_shape_in_a_batch_oldest_first() -> None:
    detector = RecordingDetector()
    tall = [pixels(v, height=64) for v in (1, 2)]
    wide = [pixels(v) for v in (3, 4)]
    async with running(detector) as batcher:
        await asyncio.gather(*(score(batcher, i) for i in (tall[0], wide[0], tall[1], wide[1])))
    assert [shape[:2] for shape in detector.batches] == [(2, 64), (2, 32)]


async def test_an_input_that_fails_fails_no_other() -> None:
    detector = RecordingDetector()
    async with running(detector) as batcher:
        results = await asyncio.gather(
            *(score(batcher, pixels(v)) for v in (1, 2, 13, 4)), return_exceptions=True
        )
    assert [results[i] for i in (0, 1, 3)] == [1, 2, 4]
    assert isinstance(results[2], RuntimeError)


async def test_idle_detector_does_not_wait_on_a_cpu() -> None:
    detector = RecordingDetector()
    async with running(detector) as batcher:
        await score(batcher, pixels(1))
        await score(batcher, pixels(2))
    assert [shape[0] for shape in detector.batches] == [1, 1]


async def test_gpu_waits_for_more_inputs_but_not_past_the_limit() -> None:
    detector = RecordingDetector()
    async with running(detector, wait=0.2) as batcher:
        first = asyncio.create_task(score(batcher, pixels(1)))
        await asyncio.sleep(0.02)
        second = asyncio.create_task(score(batcher, pixels(2)))
        assert await asyncio.gather(first, second) == [1, 2]
    assert [shape[0] for shape in detector.batches] == [2]


async def test_full_batch_goes_before_its_wait_is_over() -> None:
    detector = RecordingDetector()
    async with running(detector, wait=60) as batcher:
        await asyncio.gather(*(score(batcher, pixels(v)) for v in range(4)))
    assert [shape[0] for shape in detector.batches] == [4]


async def test_event_loop_stays_free_during_inference() -> None:
    detector = RecordingDetector()
    detector.free.clear()
    async with running(detector) as batcher:
        waiting = asyncio.create_task(score(batcher, pixels(1)))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not waiting.done()
        detector.free.set()
        assert await waiting == 1


async def test_cancelled_image_is_not_computed() -> None:
    detector = RecordingDetector()
    detector.free.clear()
    async with running(detector) as batcher:
        first = asyncio.create_task(score(batcher, pixels(1)))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(score(batcher, pixels(2)))
        await asyncio.sleep(0)
        second.cancel()
        detector.free.set()
        assert await first == 1
        with pytest.raises(asyncio.CancelledError):
            await second
        assert await score(batcher, pixels(3)) == 3
    assert [shape[0] for shape in detector.batches] == [1, 1]


class CountingDetector(RecordingDetector):
    """Holds each pass until as many run as a test waits for."""

    def __init__(self, together: int) -> None:
        super().__init__()
        self._barrier = threading.Barrier(together)
        self._lock = threading.Lock()
        self.running: list[int] = []
        self.most = 0

    def run(self, network: NetworkName, batch: Pixels) -> list[Detections]:
        with self._lock:
            self.running.append(batch.shape[1])
            self.most = max(self.most, len(self.running))
        try:
            self._barrier.wait(5)
            return super().run(network, batch)
        finally:
            with self._lock:
                self.running.remove(batch.shape[1])


async def test_several_passes_run_at_the_same_time_and_share_what_is_ready() -> None:
    detector = CountingDetector(2)
    async with running(detector, passes=2) as batcher:
        results = await asyncio.gather(*(score(batcher, pixels(v)) for v in range(4)))
    assert results == list(range(4))
    assert (detector.most, [shape[0] for shape in detector.batches]) == (2, [2, 2])


async def test_large_inputs_run_one_after_the_other_beside_small_ones() -> None:
    detector = CountingDetector(1)
    large, small = (1024, 1024), (32, 64)
    detector.free.clear()
    async with running(detector, passes=2) as batcher:
        first = [asyncio.create_task(score(batcher, pixels(v, *large))) for v in (1, 2)]
        await asyncio.sleep(0)
        third = asyncio.create_task(score(batcher, pixels(3, *small)))
        while len(detector.running) < 2:
            await asyncio.sleep(0.01)
        assert sorted(detector.running) == [32, 1024]
        detector.free.set()
        assert await asyncio.gather(*first, third) == [1, 2, 3]
    assert sorted(shape[1] for shape in detector.batches) == [32, 1024, 1024]


async def test_one_failing_pass_does_not_end_the_others() -> None:
    detector = CountingDetector(1)
    async with running(detector, passes=2) as batcher:
        results = await asyncio.gather(
            *(score(batcher, pixels(v)) for v in (1, 13, 2, 3)), return_exceptions=True
        )
        assert await score(batcher, pixels(5)) == 5
    assert [results[i] for i in (0, 2, 3)] == [1, 2, 3]
    assert isinstance(results[1], RuntimeError)


async def test_inputs_of_two_networks_share_no_batch_even_of_one_shape() -> None:
    detector = RecordingDetector()
    names: list[NetworkName] = ["detector", "corners", "detector", "corners"]
    async with running(detector) as batcher:
        inputs = [NetworkInput(name, pixels(value)) for value, name in enumerate(names)]
        results = await batcher.run_inputs(inputs)
    assert [float(found.scores[0]) for found in results] == [0, 1, 2, 3]
    assert detector.networks == ["detector", "corners"]
    assert [shape[0] for shape in detector.batches] == [2, 2]


async def test_an_input_that_fails_fails_its_image_and_cancels_the_others() -> None:
    detector = RecordingDetector()
    shapes = [(32, 64), (64, 64), *[(96, 96)] * 40]
    async with running(detector) as batcher:
        inputs = [
            NetworkInput("detector", pixels(13 if shape == (64, 64) else 1, *shape))
            for shape in shapes
        ]
        with pytest.raises(RuntimeError, match="poison"):
            await batcher.run_inputs(inputs)
        assert await score(batcher, pixels(1)) == 1
    assert len(detector.batches) < 10
