"""Covering images on this machine, with the worker's own pipeline, threads and limits."""

import asyncio
import errno
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
from prometheus_client import CollectorRegistry

from cli.images.outcomes import Outcome, Outcomes
from cli.images.results_folder import CANNOT_WRITE, ResultsFolder
from cli.images.sources import CANNOT_READ, Fault, Source
from consumer.errors import BrokenDetectorError, ImageError
from consumer.health import Health, guarded
from consumer.host import keep_large_blocks
from consumer.metrics import WorkerMetrics
from consumer.settings import WorkerSettings
from consumer.vision.finding import CoveredImage
from consumer.vision.networks import Networks
from consumer.worker.memory_budget import MemoryBudget
from consumer.worker.pipeline import ImagePipeline
from consumer.worker.process import batcher_of, cover_options, networks_of, stub_of
from consumer.worker.report import report
from schemas.contract.errors import IMAGE_ERROR_MEANINGS, ImageErrorCode
from schemas.logs import described

# With these no further result could be written either.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class FolderFullError(Exception):
    """No result can be written any more. The message is one line."""


@dataclass(frozen=True)
class Engine:
    """What covers images: settings, and the networks that they name."""

    settings: WorkerSettings
    networks: Networks

    @classmethod
    def load(cls, settings: WorkerSettings) -> "Engine":
        """Load the networks; raises StubError or ModelError."""
        stub_of(settings)  # a wrong path is reported before the networks are loaded
        keep_large_blocks()
        return cls(settings, networks_of(settings))

    @property
    def made_with(self) -> str:
        """Digest of everything but the image that decides what becomes of it."""
        settings = self.settings
        is_image = settings.cover_mode == "image"
        stub = hashlib.sha256(settings.cover_image_path.read_bytes()) if is_image else None
        options = asdict(cover_options(settings, None, corners=self.networks.corners is not None))
        chosen = {
            **options, "stub": stub and stub.hexdigest(), "classes": settings.classes,
            "review": settings.review_confidence, "networks": self.networks.digest,
        }  # fmt: skip
        return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()

    @asynccontextmanager
    async def pipeline(self, in_flight: set[Source]) -> AsyncIterator[ImagePipeline]:
        """Run the worker's pipeline and its watchdog for as long as the block runs.

        Raises:
            BrokenDetectorError: a network fails on every image.
        """
        settings, networks = self.settings, self.networks
        cv2.setNumThreads(1)  # as in the worker: the image threads are the parallelism
        metrics, health = WorkerMetrics(CollectorRegistry()), Health()
        options = cover_options(settings, stub_of(settings), corners=networks.corners is not None)
        threads = ThreadPoolExecutor(settings.threads, thread_name_prefix="image")
        batcher = batcher_of(settings, networks, metrics, health)
        try:
            async with guarded(health), asyncio.TaskGroup() as group:
                inference = group.create_task(batcher.run())
                try:
                    yield ImagePipeline(
                        batcher, in_flight, threads, settings.threads, options, metrics, health
                    )
                finally:
                    inference.cancel()
        except* BrokenDetectorError as broken:
            raise broken.exceptions[0] from None
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


class Coverer:
    """Covers sources, as many at a time as a worker would."""

    def __init__(self, engine: Engine, folder: ResultsFolder, outcomes: Outcomes) -> None:
        self._engine = engine
        self._folder = folder
        self._outcomes = outcomes
        self._in_flight: set[Source] = set()
        self._full: FolderFullError | None = None
        self._load_slots = asyncio.Semaphore(engine.settings.threads + 1)
        self._budget = MemoryBudget(engine.settings.memory_budget_bytes)

    async def run(self, sources: list[Source]) -> None:
        """Cover all sources; one that fails stops no other.

        Raises:
            FolderFullError: results can no longer be written.
            BrokenDetectorError: a network fails on every image.
        """
        outputs = await asyncio.to_thread(self._folder.assign, sources)
        waiting = iter(sources)
        async with (
            self._engine.pipeline(self._in_flight) as pipeline,
            asyncio.TaskGroup() as group,
        ):
            for _ in range(min(self._engine.settings.slots, len(sources))):
                group.create_task(self._cover_from(waiting, outputs, pipeline))
        if self._full is not None:
            raise self._full

    async def _cover_from(
        self,
        waiting: Iterator[Source],
        outputs: dict[Path, Path | Fault],
        pipeline: ImagePipeline,
    ) -> None:
        for source in waiting:
            if self._full is not None:
                return
            output = source.fault or outputs[source.path]
            if isinstance(output, Fault):
                self._outcomes.add(Outcome(source, "failed", fault=output))
                continue
            self._in_flight.add(source)
            try:
                outcome = await self._cover(source, output, pipeline)
            finally:
                self._in_flight.remove(source)
            self._outcomes.add(outcome)

    async def _cover(self, source: Source, output: Path, pipeline: ImagePipeline) -> Outcome:
        try:
            done_or_covered = await self._done_or_covered(source, output, pipeline)
        except ImageError as error:
            return Outcome(source, "failed", fault=Fault(error.code, error.detail))
        except OSError as error:
            return Outcome(source, "failed", fault=Fault(CANNOT_READ, _reason(error)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this image
            detail = f"{IMAGE_ERROR_MEANINGS[ImageErrorCode.INTERNAL_ERROR]} {described(error)}"
            return Outcome(source, "failed", fault=Fault(ImageErrorCode.INTERNAL_ERROR, detail))
        if isinstance(done_or_covered, dict):
            return Outcome(source, "unchanged", output, result=done_or_covered)
        return await asyncio.to_thread(self._write, source, output, done_or_covered)

    async def _done_or_covered(
        self, source: Source, output: Path, pipeline: ImagePipeline
    ) -> dict[str, Any] | CoveredImage:
        async with AsyncExitStack() as held:
            # As in the worker: files that are not decoded yet are bounded too.
            async with self._load_slots:
                data, done = await asyncio.to_thread(self._read, source.path, output)
                if done is not None:
                    return done
                needed = await pipeline.needed_bytes(data)
                await held.enter_async_context(self._budget.hold(needed))
            return await pipeline.cover(data)

    def _read(self, path: Path, output: Path) -> tuple[bytes, dict[str, Any] | None]:
        """Return the bytes of an image, and the description of its result if it is done."""
        limit = self._engine.settings.max_file_size_bytes
        with path.open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise ImageError(ImageErrorCode.FILE_TOO_LARGE, f"over {limit} bytes")
        return data, self._folder.done(output, hashlib.sha256(data).hexdigest())

    def _write(self, source: Source, output: Path, covered: CoveredImage) -> Outcome:
        found = report(
            covered.plates,
            review_confidence=self._engine.settings.review_confidence,
            detections=True,
            uncovered_score=covered.uncovered_score,
        )
        result = {
            "needs_review": found.needs_review,
            "plates": found.plates,
            "detections": [each.model_dump() for each in found.detections or ()],
            "input_sha256": covered.input_sha256,
            "output_sha256": covered.output_sha256,
        }
        try:
            self._folder.write(output, covered.webp)
            self._folder.note(source, output, covered.input_sha256, result)
        except OSError as error:
            if error.errno in _FULL:
                self._full = FolderFullError(
                    f"{self._folder.path} cannot be written: {_reason(error)}; mended, the same"
                    " command continues"
                )
            return Outcome(source, "failed", fault=Fault(CANNOT_WRITE, _reason(error)))
        return Outcome(source, "covered", output, result=result)


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
