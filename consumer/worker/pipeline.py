"""An image's way from stored original to stored result: load, decode, detect, cover, encode, store.

Fail closed: a result is written only by `_conceal`, after detection ran to its end on the image.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from consumer.errors import ImageError
from consumer.metrics import WorkerMetrics
from consumer.vision.cover import Stub, cover
from consumer.vision.decoder import DecodedImage, ImageHeader, decode, read_header
from consumer.vision.encoder import encode_webp
from consumer.vision.looks import further
from consumer.vision.margins import cover_quads
from consumer.vision.merge import merge, unsettled
from consumer.vision.obb import Detections
from consumer.vision.tiling import Tiling, view_bytes, views
from consumer.vision.view import View
from consumer.vision.webp_tuning import WebpMethod, highest_method, method_for
from consumer.worker.admission import MemoryBudget
from consumer.worker.batch import Batcher
from consumer.worker.report import CoverReport, Reporting, report
from schemas.contract.errors import ImageErrorCode
from schemas.contract.messages import ImageMessage
from schemas.retry import Backoff
from schemas.storage.layout import output_key
from schemas.storage.storage import ObjectTooLargeError, Storage, StorageError, StorageFullError

T = TypeVar("T")

READ_TRIES = 6
"""Tries of one original, over some seconds, while storage is otherwise well."""

WRITE_TRIES = 6
"""Tries of one result, likewise."""


@dataclass(frozen=True, slots=True)
class VisionOptions:
    """What an image's way through the pipeline depends on; `model` is the checkpoint's digest."""

    model: str
    stub: Stub | None
    padding: float
    imgsz: int
    tiling: Tiling
    max_pixels: int
    max_file_bytes: int
    webp_quality: int
    webp_method: WebpMethod
    reporting: Reporting


@dataclass(frozen=True, slots=True)
class Covered:
    """A result: what it covers, and the digests of both files and of the checkpoint."""

    report: CoverReport
    input_sha256: str
    output_sha256: str
    model: str


class ImagePipeline:
    """Runs images through the stages: bytes in storage or in the message, a WebP in storage out.

    The event loop only waits. Decoding, covering and encoding run in `threads`, the forward pass
    on the batcher's; how many images are decoded at once is the budget's to say.
    """

    def __init__(
        self,
        storage: Storage,
        batcher: Batcher,
        threads: ThreadPoolExecutor,
        budget: MemoryBudget,
        *,
        thread_count: int,
        options: VisionOptions,
        metrics: WorkerMetrics,
    ) -> None:
        self._storage = storage
        self._batcher = batcher
        self._threads = threads
        self._budget = budget
        self._loads = asyncio.Semaphore(thread_count + 1)
        self._thread_count = thread_count
        self._options = options
        self._metrics = metrics
        self._in_work = 0

    async def process(
        self,
        message: ImageMessage,
        watch: AbstractAsyncContextManager[None],
        room: ExitStack,
    ) -> tuple[Covered, bytes]:
        """Cover one image; returns what `store` is to be given, too.

        Args:
            watch: entered while the image's content is worked on.
            room: keeps memory for the result, to be closed when that is stored.

        Raises:
            ImageError: this image cannot be processed, ever.
            StorageError: storage is unavailable; worth a retry.
        """
        self._in_work += 1
        try:
            return await self._cover(message, watch, room)
        finally:
            self._in_work -= 1

    async def store(self, message: ImageMessage, webp: bytes) -> None:
        """Store a result. A step of its own: while a disk is full, only this is tried again.

        Raises:
            ImageError: storage, working otherwise, refuses this result.
            StorageError: storage is full or unavailable; worth a retry.
        """
        backoff = Backoff(base=0.2, cap=2.0)
        for _ in range(WRITE_TRIES):
            try:
                with self._metrics.stage("store"):
                    await self._storage.put(output_key(message.task_id, message.output_name), webp)
            except StorageFullError:
                raise  # nothing is wrong with this result
            except StorageError:
                await self._storage.check()
                await asyncio.sleep(backoff.next_delay())
            else:
                return
        raise ImageError(ImageErrorCode.INTERNAL_ERROR, "storage refuses to write the result")

    async def _cover(
        self,
        message: ImageMessage,
        watch: AbstractAsyncContextManager[None],
        room: ExitStack,
    ) -> tuple[Covered, bytes]:
        async with AsyncExitStack() as admitted:
            # A load slot is held until the budget admits the image: so undecoded files are
            # bounded too.
            async with self._loads:
                data = await self._load(message)
                await admitted.enter_async_context(watch)
                header = await self._in_thread(
                    read_header,
                    data,
                    max_pixels=self._options.max_pixels,
                    method=highest_method(self._options.webp_method),
                )
                needed = header.decoded_bytes + len(data) + self._view_bytes(header)
                await admitted.enter_async_context(self._budget.hold(needed))
            image, seen = await self._in_thread(self._prepare, data)
            seen, answers = await look(
                seen, self._batcher, self._in_thread, is_alone=lambda: self._in_work == 1
            )
            covered, webp = await self._in_thread(self._conceal, data, image, seen, answers)
            # Before the image's own memory is given up: a result that is done must not wait for
            # images that are not decoded yet.
            room.enter_context(self._budget.keep(len(webp)))
            return covered, webp

    async def _load(self, message: ImageMessage) -> bytes:
        if message.image is not None:
            return message.image
        try:
            with self._metrics.stage("load"):
                return await self._read_original(message.object or "")
        except FileNotFoundError:
            raise ImageError(ImageErrorCode.INPUT_MISSING, "not in storage") from None
        except ObjectTooLargeError:
            raise ImageError(
                ImageErrorCode.FILE_TOO_LARGE, f"over {self._options.max_file_bytes} bytes"
            ) from None

    async def _read_original(self, key: str) -> bytes:
        """Read an object that storage, working otherwise, may refuse for ever."""
        backoff = Backoff(base=0.2, cap=2.0)
        for _ in range(READ_TRIES):
            try:
                return await self._storage.get(key, max_bytes=self._options.max_file_bytes)
            except StorageError:
                await self._storage.check()
                await asyncio.sleep(backoff.next_delay())
        raise ImageError(ImageErrorCode.INTERNAL_ERROR, "storage refuses to read the original")

    def _view_bytes(self, header: ImageHeader) -> int:
        options = self._options
        return view_bytes(header.height, header.width, options.imgsz, options.tiling)

    def _prepare(self, data: bytes) -> tuple[DecodedImage, list[View]]:
        with self._metrics.stage("decode"):
            image = decode(data, max_pixels=self._options.max_pixels)
            return image, views(image.rgb, self._options.imgsz, self._options.tiling)

    def _conceal(
        self, data: bytes, image: DecodedImage, seen: list[View], answers: list[Detections]
    ) -> tuple[Covered, bytes]:
        options = self._options
        with self._metrics.stage("cover"):
            found = merge(seen, answers)
            covers = cover_quads(found, options.padding)
            cover(image.rgb, covers, stub=options.stub, alpha=image.alpha)
        with self._metrics.stage("encode"):
            height, width = image.rgb.shape[:2]
            quality, backlog = options.webp_quality, self._has_backlog()
            method = method_for(
                options.webp_method, height, width, quality=quality, backlog=backlog
            )
            webp = encode_webp(image, quality=quality, method=method)
            digests = _sha256(data), _sha256(webp)
        doubt = unsettled(seen, answers)
        return Covered(report(found, options.reporting, doubt), *digests, options.model), webp

    def _has_backlog(self) -> bool:
        """Whether images wait for a thread: then one done sooner is one more done."""
        return self._in_work > self._thread_count

    async def _in_thread(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(call, *args, **kwargs))


async def look(
    views: Sequence[View],
    batcher: Batcher,
    in_thread: Callable[..., Awaitable[Any]],
    *,
    is_alone: Callable[[], bool] = lambda: False,
) -> tuple[list[View], list[Detections]]:
    """Return views and the further ones that their answers call for, with all answers."""
    seen = list(views)
    answers = await batcher.detect_all([view.pixels for view in seen], alone=is_alone())
    # To compare many finds takes seconds. Not in the threads that `in_thread` stands for: an image
    # that needs no further look, as most, would wait there behind decoding.
    while make := await asyncio.to_thread(further, seen, answers):
        fresh = await in_thread(make)
        answers += await batcher.detect_all([view.pixels for view in fresh], alone=is_alone())
        seen += fresh
    return seen, answers


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
