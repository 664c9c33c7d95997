"""The worker process, put together from its settings."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import structlog
from redis.asyncio import Redis

from consumer.health import Health
from consumer.metrics import WorkerMetrics
from consumer.settings import WorkerSettings
from consumer.vision.cover import Stub, load_stub
from consumer.vision.decoder import DecodedImage
from consumer.vision.standin import Poison, StandInDetector, chosen_standin
from consumer.vision.view import View
from consumer.worker.admission import MemoryBudget
from consumer.worker.batch import Batcher
from consumer.worker.handler import EntryHandler
from consumer.worker.in_flight import InFlight
from consumer.worker.loops import WorkerLoops
from consumer.worker.pipeline import ImagePipeline, VisionOptions
from consumer.worker.poison import PoisonGuard
from consumer.worker.quarantine import QuarantiningStore
from consumer.worker.reclaim import LeasePolicy
from consumer.worker.report import Reporting
from consumer.worker.stream import READ_BLOCK_SECONDS, WorkStream
from schemas.contract.messages import ContractLimits
from schemas.redis.client import connect, connect_blocking
from schemas.redis.keys import Keys, consumer_name
from schemas.redis.task_store import TaskStore
from schemas.retry import StoppedError, retry_until_stopped
from schemas.storage.storage import Storage

if TYPE_CHECKING:
    # That module needs torch, which the stand-in detector does without.
    from consumer.vision.detector import Detector

log = structlog.get_logger()

T = TypeVar("T")

STAGE_LIMIT_SECONDS = 600.0
"""Longest time for one image in one stage on the CPU; many times what the largest one takes."""


async def run_worker(
    settings: WorkerSettings, metrics: WorkerMetrics, health: Health, stop: asyncio.Event
) -> None:
    """Load the model, join the group, work until `stop`, drain.

    Raises:
        StubError: the image to put on plates cannot be used.
        ModelError: the model cannot be loaded.
        ExceptionGroup: a loop failed; with SickDetectorError if the detector did.
    """
    # Before anything that takes long or waits: a wrong path is to be told at once.
    stub = load_stub(settings.cover_image_path) if settings.cover_mode == "image" else None
    health.expect("model", "the model is not loaded")
    detector = await asyncio.to_thread(_load_detector, settings)
    health.meet("model")
    options = _vision_options(settings, stub, model=detector.digest)
    try:
        async with _open_loops(settings, metrics, health, detector, options, stop) as loops:
            log.info("worker ready", device=settings.processing_device, model=detector.digest[:12])
            await loops.run(stop, drain_seconds=settings.drain_seconds)
    except StoppedError:
        log.info("stopped before redis could be reached")


@asynccontextmanager
async def _open_loops(
    settings: WorkerSettings,
    metrics: WorkerMetrics,
    health: Health,
    detector: "Detector",
    options: VisionOptions,
    stop: asyncio.Event,
) -> AsyncIterator[WorkerLoops]:
    """Connect everything; what was opened is closed in reverse order."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(settings))
        reader = await stack.enter_async_context(connect_blocking(settings, READ_BLOCK_SECONDS))
        keys = Keys(settings.key_prefix)
        storage = Storage.open(settings.storage_url)
        store = _task_store(settings, redis, keys, storage)
        stream = WorkStream(
            redis, reader, stream=keys.images, consumer=consumer_name(),
            lease_ms=int(settings.lease_seconds * 1000),
        )  # fmt: skip
        await retry_until_stopped(stream.ensure_group, stop)
        health.beat("read")
        batcher = _batcher(settings, detector, metrics, health)
        threads = stack.enter_context(_thread_pool(settings.threads, health))
        kind = _PoisonablePipeline if isinstance(detector, StandInDetector) else ImagePipeline
        pipeline = kind(
            storage, batcher, threads, MemoryBudget(settings.memory_budget_mb << 20),
            thread_count=settings.threads, metrics=metrics, options=options,
        )  # fmt: skip
        limits = ContractLimits(settings.max_files_per_request, settings.inline_max_bytes)
        handler = EntryHandler(
            store, storage, pipeline, metrics, stop=stop,
            poison=PoisonGuard(store, stop, limits, max_deliveries=settings.max_deliveries),
            limits=limits, public_url=settings.public_url,
        )  # fmt: skip
        yield WorkerLoops(
            stream, store, handler, InFlight(settings.slots), batcher, metrics, health,
            leases=LeasePolicy(settings.lease_seconds, settings.max_deliveries),
        )  # fmt: skip


def _task_store(settings: WorkerSettings, redis: Redis, keys: Keys, storage: Storage) -> TaskStore:
    if not settings.dead_letter_keep_inputs:
        return TaskStore(redis, keys, task_ttl_ms=settings.task_ttl_ms)
    return QuarantiningStore(
        redis, keys, storage,
        task_ttl_ms=settings.task_ttl_ms, max_bytes=settings.max_file_size_bytes,
    )  # fmt: skip


def _load_detector(settings: WorkerSettings) -> "Detector":
    # The image threads are the parallelism: OpenCV's own pool would only fight with them.
    cv2.setNumThreads(1)
    if standin := chosen_standin(settings.model_path):
        log.warning(
            "STAND-IN DETECTOR, FOR TESTS ONLY: it sees nothing, every image is covered whole",
            model=standin.name,
        )
        return standin
    from consumer.vision.detector import load_detector

    return load_detector(
        settings.model_path,
        device=settings.processing_device,
        confidence=settings.detect_confidence,
        max_batch=settings.processing_batch_size,
        classes=settings.classes,
        precision=settings.inference_precision,
        threads=settings.forward_threads,
        passes=settings.forward_passes,
    )


def _batcher(
    settings: WorkerSettings, detector: "Detector", metrics: WorkerMetrics, health: Health
) -> Batcher:
    on_gpu = settings.processing_device != "cpu"
    return Batcher(
        detector,
        batch_size=settings.processing_batch_size,
        max_wait_seconds=settings.batch_max_wait_ms / 1000 if on_gpu else 0,
        passes=settings.forward_passes,
        observe=metrics.observe_batch,
        guard=partial(health.deadline, "forward pass", settings.inference_timeout_seconds),
    )


def _vision_options(settings: WorkerSettings, stub: Stub | None, *, model: str) -> VisionOptions:
    return VisionOptions(
        model=model,
        stub=stub,
        padding=settings.cover_padding,
        imgsz=settings.detect_imgsz,
        tiling=settings.detect_tiling,
        max_pixels=settings.max_image_pixels,
        max_file_bytes=settings.max_file_size_bytes,
        webp_quality=settings.webp_quality,
        webp_method=settings.webp_method,
        reporting=Reporting(settings.review_confidence, settings.detections),
    )


class _PoisonablePipeline(ImagePipeline):
    """Beside the stand-in: a file that a test names kills the process that is to decode it."""

    def _prepare(self, data: bytes) -> tuple[DecodedImage, list[View]]:
        Poison.from_environment().swallow(data)
        return super()._prepare(data)


class _GuardedPool(ThreadPoolExecutor):
    """Threads for the stages of images, each call under the watchdog's eyes."""

    def __init__(self, threads: int, health: Health) -> None:
        super().__init__(threads, thread_name_prefix="image")
        self._health = health

    def submit(self, call: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run the call on a thread."""
        return super().submit(self._guarded, partial(call, *args, **kwargs))

    def _guarded(self, call: Callable[[], T]) -> T:
        with self._health.deadline("stage of an image", STAGE_LIMIT_SECONDS):
            return call()


@contextmanager
def _thread_pool(threads: int, health: Health) -> Iterator[ThreadPoolExecutor]:
    pool = _GuardedPool(threads, health)
    try:
        yield pool
    finally:
        # Not waited for: what runs past the drain is left to be redelivered.
        pool.shutdown(wait=False, cancel_futures=True)
