"""A detector that fails every image is distinguished from images that fail in any detector."""

import asyncio

import numpy as np
import pytest

from consumer.errors import BrokenDetectorError
from consumer.vision.detect.obb import Detections
from consumer.vision.steps import NetworkInput, NetworkName, Pixels
from consumer.worker.batcher import FAILURES_BEFORE_PROBE, Batcher


class FailingDetector:
    """Fails flat images, or all."""

    def __init__(self, *, broken: bool) -> None:
        self.broken = broken
        self.inputs = 0

    def run(self, _network: NetworkName, batch: Pixels) -> list[Detections]:
        self.inputs += len(batch)
        if self.broken or (batch == batch[:, :1, :1]).all(axis=(1, 2, 3)).any():
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        nothing = Detections(np.zeros((0, 4, 2), np.float32), np.zeros(0, np.float32))
        return [nothing] * len(batch)


def batcher(detector: FailingDetector) -> Batcher:
    return Batcher(detector.run, batch_size=1, observe=lambda *_: None)


def flat(value: int) -> NetworkInput:
    return NetworkInput("detector", np.full((32, 64, 3), value, np.uint8))


async def test_broken_detector_ends_the_batcher_after_a_few_images() -> None:
    detector = FailingDetector(broken=True)
    tested = batcher(detector)
    waiting = [asyncio.ensure_future(tested.run_inputs([flat(v)])) for v in range(20)]
    with pytest.raises(BrokenDetectorError, match="illegal memory access"):
        async with asyncio.timeout(10):
            await tested.run()
    assert detector.inputs == FAILURES_BEFORE_PROBE + 1
    assert sum(future.done() for future in waiting) == FAILURES_BEFORE_PROBE
    for future in waiting:
        future.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_bad_images_in_a_row_do_not_end_it() -> None:
    tested = batcher(FailingDetector(broken=False))
    running = asyncio.create_task(tested.run())
    async with asyncio.timeout(10):
        answers = await asyncio.gather(
            *(tested.run_inputs([flat(v)]) for v in range(10)), return_exceptions=True
        )
    assert all(isinstance(answer, RuntimeError) for answer in answers)
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
