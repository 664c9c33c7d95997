"""The worker process, put together from its settings."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial

import cv2
import structlog

from consumer.health import Health
from consumer.metrics import WorkerMetrics
from consumer.settings import WorkerSettings
from consumer.vision.cover.cover import Stub, load_stub
from consumer.vision.finding import CANDIDATE_SCORE, CoverOptions, FindOptions
from consumer.vision.networks import Networks, load_networks
from consumer.worker.batcher import Batcher
from consumer.worker.consumer import StreamConsumer
from consumer.worker.corrections import CorrectionProcessor
from consumer.worker.covering import Covering
from consumer.worker.dead_letters import DeadLetterRecorder, QuarantiningStore
from consumer.worker.in_flight import InFlight
from consumer.worker.memory_budget import MemoryBudget
from consumer.worker.pipeline import ImagePipeline
from consumer.worker.poison import PoisonGuard
from consumer.worker.processor import ImageProcessor
from consumer.worker.stream import READ_BLOCK_SECONDS, WorkStreams
from schemas.contract.messages import ContractLimits
from schemas.contract.tasks import MODEL_DIGITS
from schemas.redis.client import connect, connect_blocking
from schemas.redis.corrections import CorrectionStore
from schemas.redis.keys import Keys, consumer_name
from schemas.redis.task_store import TaskStore
from schemas.retry import StoppedError, retry_until_stopped
from schemas.storage.storage import Storage

log = structlog.get_logger()


async def run_worker(
    settings: WorkerSettings,
    metrics: WorkerMetrics,
    health: Health,
    stop: asyncio.Event,
    networks: Networks | None = None,
) -> None:
    """Load the model, join the group, work until `stop`, drain.

    Args:
        networks: used in place of the models that the settings name.

    Raises:
        StubError: the image to put on plates cannot be used.
        ModelError: the model cannot be loaded.
        ExceptionGroup: a loop failed; with BrokenDetectorError if the detector did.
    """
    # Before anything that takes long or waits, so that a wrong path is reported at once.
    stub = stub_of(settings)
    # The image threads are the parallelism: OpenCV's own threads would compete with them.
    cv2.setNumThreads(1)
    if networks is None:
        health.expect("model", "the model is not loaded")
        networks = await asyncio.to_thread(networks_of, settings)
        health.meet("model")
    options = cover_options(settings, stub, corners=networks.corners is not None)
    try:
        await _serve(settings, metrics, health, stop, networks, options)
    except StoppedError:
        log.info("stopped before redis could be reached")


def stub_of(settings: WorkerSettings) -> Stub | None:
    """Return the image to put on plates; raises StubError if it cannot be used."""
    return load_stub(settings.cover_image_path) if settings.cover_mode == "image" else None


def cover_options(settings: WorkerSettings, stub: Stub | None, *, corners: bool) -> CoverOptions:
    """Return the options of covering. ``corners``: whether there is a second stage."""
    return CoverOptions(
        find=FindOptions(settings.detect_imgsz, settings.detect_tiling, corners=corners),
        confidence=settings.detect_confidence,
        stub=stub,
        padding=settings.cover_padding,
        max_pixels=settings.max_image_pixels,
        webp_quality=settings.webp_quality,
        webp_method=settings.webp_method,
    )


def networks_of(settings: WorkerSettings) -> Networks:
    """Load the networks that the settings name; raises ModelError."""
    return load_networks(
        settings.model_path,
        settings.corners_model_path,
        device=settings.processing_device,
        confidence=min(settings.detect_confidence, CANDIDATE_SCORE),
        max_batch=settings.processing_batch_size,
        classes=settings.classes,
        precision=settings.inference_precision,
        threads=settings.forward_threads,
        passes=settings.forward_passes,
    )


async def _serve(
    settings: WorkerSettings,
    metrics: WorkerMetrics,
    health: Health,
    stop: asyncio.Event,
    networks: Networks,
    options: CoverOptions,
) -> None:
    """Connect to Redis and storage, and consume until `stop`."""
    keys, storage = Keys(settings.key_prefix), Storage.open(settings.storage_url)
    limits = ContractLimits(settings.max_files_per_request, settings.inline_max_bytes)
    in_flight = InFlight(settings.slots)
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(connect(settings))
        reader = await stack.enter_async_context(connect_blocking(settings, READ_BLOCK_SECONDS))
        store = TaskStore(redis, keys, task_ttl_ms=settings.task_ttl_ms)
        if settings.dead_letter_keep_inputs:
            store = QuarantiningStore(
                redis, keys, storage,
                task_ttl_ms=settings.task_ttl_ms, max_bytes=settings.max_file_size_bytes,
            )  # fmt: skip
        streams = WorkStreams(
            redis, reader, streams=(keys.corrections, keys.images), consumer=consumer_name(),
            lease_ms=int(settings.lease_seconds * 1000),
        )  # fmt: skip
        await retry_until_stopped(streams.ensure_groups, stop)
        health.beat("read")
        threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="image")
        # Not waited for: what runs after the drain will be redelivered.
        stack.callback(threads.shutdown, wait=False, cancel_futures=True)
        batcher = batcher_of(settings, networks, metrics, health)
        pipeline = ImagePipeline(
            batcher, in_flight, threads, settings.threads, options, metrics, health
        )
        poison = PoisonGuard(store, settings.max_deliveries, stop)
        covering = Covering(
            storage, poison, metrics, MemoryBudget(settings.memory_budget_bytes),
            asyncio.Semaphore(settings.threads + 1), stop,
        )  # fmt: skip
        images = ImageProcessor(
            settings=settings, store=store, storage=storage, pipeline=pipeline, covering=covering,
            dead_letters=DeadLetterRecorder(store, storage, metrics, limits, stop),
            metrics=metrics, limits=limits, model=networks.digest, stop=stop,
        )  # fmt: skip
        corrections = CorrectionProcessor(
            CorrectionStore(redis, keys, task_ttl_ms=settings.task_ttl_ms),
            storage, pipeline, covering, metrics, stop,
        )  # fmt: skip
        consumer = StreamConsumer(
            settings=settings, streams=streams,
            handlers={keys.corrections: corrections, keys.images: images},
            store=store, in_flight=in_flight, poison=poison, metrics=metrics, health=health,
            stop=stop,
        )  # fmt: skip
        log.info(
            "worker ready", device=settings.processing_device, file=networks.detector.name,
            model=networks.digest[:MODEL_DIGITS],
        )  # fmt: skip
        async with asyncio.TaskGroup() as group:
            inference = group.create_task(batcher.run())
            try:
                await consumer.run()
            finally:
                inference.cancel()


def batcher_of(
    settings: WorkerSettings,
    networks: Networks,
    metrics: WorkerMetrics,
    health: Health,
) -> Batcher:
    """Return what runs the networks in batches, as the settings say."""
    on_gpu = settings.processing_device != "cpu"
    return Batcher(
        networks.run,
        batch_size=settings.processing_batch_size,
        max_wait_seconds=settings.batch_max_wait_ms / 1000 if on_gpu else 0,
        passes=settings.forward_passes,
        observe=metrics.observe_batch,
        guard=partial(health.deadline, "forward pass", settings.inference_timeout_seconds),
    )
