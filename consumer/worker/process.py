"""The worker process, put together from its settings."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager

import cv2
import structlog
import torch
from redis.exceptions import RedisError

from consumer.backoff import StoppedError, persist
from consumer.membership import consumer_name
from consumer.metrics import WorkerMetrics
from consumer.settings import WorkerSettings
from consumer.vision.cover import load_stub
from consumer.vision.detector import Detector, load_detector
from consumer.worker.admission import MemoryBudget
from consumer.worker.batch import Batcher
from consumer.worker.hand import Hand
from consumer.worker.handler import EntryHandler
from consumer.worker.loops import LeasePolicy, WorkerLoops
from consumer.worker.pipeline import ImagePipeline, VisionOptions
from consumer.worker.stream import READ_BLOCK_SECONDS, WorkStream
from schemas.keys import Keys
from schemas.messages import ContractLimits
from schemas.redis_client import connect, connect_blocking
from schemas.storage import Storage
from schemas.store import TaskStore

log = structlog.get_logger()


async def run_worker(settings: WorkerSettings, metrics: WorkerMetrics, stop: asyncio.Event) -> None:
    """Load the model, join the group, work until `stop`, drain."""
    detector = await asyncio.to_thread(_load_detector, settings)
    try:
        async with _open_loops(settings, metrics, detector, stop) as loops:
            log.info("worker ready", device=settings.processing_device, model=detector.digest[:12])
            await loops.run(stop, drain_seconds=settings.drain_seconds)
    except StoppedError:
        log.info("stopped before redis could be reached")


@asynccontextmanager
async def _open_loops(
    settings: WorkerSettings, metrics: WorkerMetrics, detector: Detector, stop: asyncio.Event
) -> AsyncIterator[WorkerLoops]:
    """Connect everything; what was opened is closed in reverse order."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(settings))
        reader = await stack.enter_async_context(connect_blocking(settings, READ_BLOCK_SECONDS))
        keys = Keys(settings.key_prefix)
        store = TaskStore(redis, keys, task_ttl_ms=settings.task_ttl_ms)
        stream = WorkStream(
            redis, reader, stream=keys.images, consumer=consumer_name(),
            lease_ms=int(settings.lease_seconds * 1000),
        )  # fmt: skip
        await persist(
            stream.ensure_group, transient=(RedisError, OSError), give_up=stop,
            on_failure=lambda error: log.warning("waiting for redis", error=repr(error)),
        )  # fmt: skip
        storage = Storage.open(settings.storage_url)
        batcher = _batcher(settings, detector, metrics)
        threads = stack.enter_context(_thread_pool(settings.threads))
        pipeline = _pipeline(settings, storage, batcher, threads, metrics)
        handler = EntryHandler(
            store, storage, pipeline, metrics, give_up=stop,
            limits=ContractLimits(settings.max_files_per_request, settings.inline_max_bytes),
            model=detector.digest,
        )  # fmt: skip
        yield WorkerLoops(
            stream, store, handler, Hand(settings.slots), batcher, metrics,
            leases=LeasePolicy(settings.lease_seconds, settings.max_deliveries),
        )  # fmt: skip


def _load_detector(settings: WorkerSettings) -> Detector:
    # The image threads are the parallelism: OpenCV's own pool would only fight with them.
    cv2.setNumThreads(1)
    torch.set_num_threads(settings.forward_threads)
    return load_detector(
        settings.model_path,
        device=settings.processing_device,
        confidence=settings.detect_confidence,
        max_batch=settings.processing_batch_size,
    )


def _batcher(settings: WorkerSettings, detector: Detector, metrics: WorkerMetrics) -> Batcher:
    on_gpu = settings.processing_device != "cpu"
    return Batcher(
        detector,
        batch_size=settings.processing_batch_size,
        max_wait_seconds=settings.batch_max_wait_ms / 1000 if on_gpu else 0,
        observe=metrics.observe_batch,
    )


def _pipeline(
    settings: WorkerSettings,
    storage: Storage,
    batcher: Batcher,
    threads: ThreadPoolExecutor,
    metrics: WorkerMetrics,
) -> ImagePipeline:
    stub = load_stub(settings.cover_image_path) if settings.cover_mode == "image" else None
    options = VisionOptions(
        stub=stub,
        padding=settings.cover_padding,
        imgsz=settings.detect_imgsz,
        max_pixels=settings.max_image_pixels,
        max_file_bytes=settings.max_file_size_bytes,
        webp_quality=settings.webp_quality,
        webp_method=settings.webp_method,
    )
    budget = MemoryBudget(settings.memory_budget_mb << 20)
    return ImagePipeline(
        storage, batcher, threads, budget,
        loads=settings.threads + 1, options=options, metrics=metrics,
    )  # fmt: skip


@contextmanager
def _thread_pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(threads, thread_name_prefix="image")
    try:
        yield pool
    finally:
        # Not waited for: what runs past the drain is left to its lease.
        pool.shutdown(wait=False, cancel_futures=True)
