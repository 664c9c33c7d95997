"""The stages of an image run on threads, where the watchdog sees them."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry

from consumer.errors import ImageError
from consumer.health import GuardedCall, Health
from consumer.metrics import WorkerMetrics
from consumer.vision.finding import CoverOptions, FindOptions
from consumer.vision.networks import Networks
from consumer.worker.batcher import Batcher
from consumer.worker.pipeline import STAGE_LIMIT_SECONDS, ImagePipeline
from tests.support.pictures import scene_file
from tests.support.stand_in import StandInDetector

OPTIONS = CoverOptions(
    find=FindOptions(640, "auto", corners=False), confidence=0.3, stub=None, padding=0.0,
    max_pixels=10**8, webp_quality=90, webp_method=0,
)  # fmt: skip


class ObservedMetrics(WorkerMetrics):
    """Notes for each stage its thread and the calls that the watchdog watches."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry())
        self.health = Health()
        self.stages: dict[str, tuple[int, list[GuardedCall]]] = {}

    def observe_stage(self, name: str, seconds: float) -> None:
        self.stages[name] = threading.get_ident(), self.health.calls


@asynccontextmanager
async def running(
    metrics: ObservedMetrics, detector: StandInDetector
) -> AsyncIterator[ImagePipeline]:
    images = ["one"]
    batcher = Batcher(Networks(detector).run, batch_size=4, passes=2, observe=metrics.observe_batch)
    serving = asyncio.create_task(batcher.run())
    with ThreadPoolExecutor(1) as threads:
        pipeline = ImagePipeline(batcher, images, threads, 1, OPTIONS, metrics, metrics.health)
        async with asyncio.timeout(20):
            yield pipeline
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_stages_run_off_the_event_loop_and_under_the_watchdog() -> None:
    metrics = ObservedMetrics()
    async with running(metrics, StandInDetector()) as pipeline:
        covered = await pipeline.cover(scene_file(width=320))
    assert len(covered.plates.scores) == 1
    assert set(metrics.stages) == {"decode", "cover", "encode", "inference"}
    for name in ("decode", "cover", "encode"):
        thread, under_way = metrics.stages[name]
        assert thread != threading.get_ident()
        [work] = under_way
        assert (work.name, work.limit_seconds) == ("stage of an image", STAGE_LIMIT_SECONDS)
    assert metrics.health.calls == []


async def test_a_stage_that_fails_is_no_longer_watched() -> None:
    metrics = ObservedMetrics()
    async with running(metrics, StandInDetector()) as pipeline:
        with pytest.raises(ImageError):
            await pipeline.cover(b"no image")
    assert metrics.health.calls == []
