"""Cost of each stage by itself: one thread, one image at a time, nothing else at work.

Run as `python -m tests.bench.stages FOLDER OUTPUT` in a process of its own, so that it leaves no
model and no threads in the one that makes the load. The worker's settings come from the
environment.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any, TypeVar

import cv2

from consumer.allocator import keep_large_blocks
from consumer.settings import WorkerSettings
from consumer.vision.cover import Stub, cover, load_stub
from consumer.vision.decoder import DecodedImage, decode, read_header
from consumer.vision.detector import Detector, load_detector
from consumer.vision.encoder import encode_webp
from consumer.vision.heads import Array
from consumer.vision.looks import answered
from consumer.vision.margins import cover_quads
from consumer.vision.merge import merge
from consumer.vision.obb import Detections
from consumer.vision.tiling import views
from consumer.vision.view import View
from consumer.vision.webp_tuning import method_for
from tests.bench.images import SAMPLE, from_folder

T = TypeVar("T")

REPEATS = 5


class Stages:
    """The stages of an image, each timed: its best of REPEATS."""

    def __init__(self, settings: WorkerSettings, *, backlog: bool) -> None:
        self._settings = settings
        self._backlog = backlog
        self._detector: Detector = load_detector(
            settings.model_path, device=settings.processing_device, threads=1,
            confidence=settings.detect_confidence, max_batch=1,
            precision=settings.inference_precision,
        )  # fmt: skip
        image = settings.cover_mode == "image"
        self._stub: Stub | None = load_stub(settings.cover_image_path) if image else None
        self.seconds: dict[str, list[float]] = {}
        self.covers: list[list[list[list[float]]]] = []  # of each image, corners x, y

    def run(self, data: bytes) -> None:
        """Take one image through all stages, and note what each costs."""
        image, seen = self._time("decode", lambda: self._decode(data))
        seen, answers = self._time("inference", lambda: answered(seen, self._detector.detect))
        covers = self._time("cover", lambda: self._cover(image, seen, answers))
        self.covers.append(covers.tolist())
        self._time("encode", lambda: self._encode(image))

    def _decode(self, data: bytes) -> tuple[DecodedImage, list[View]]:
        limit = self._settings.max_image_pixels
        read_header(data, max_pixels=limit)
        image = decode(data, max_pixels=limit)
        return image, views(image.rgb, self._settings.detect_imgsz, self._settings.detect_tiling)

    def _cover(self, image: DecodedImage, seen: list[View], answers: list[Detections]) -> Array:
        covers = cover_quads(merge(seen, answers), self._settings.cover_padding)
        cover(image.rgb, covers, stub=self._stub, alpha=image.alpha)
        return covers

    def _encode(self, image: DecodedImage) -> bytes:
        height, width = image.rgb.shape[:2]
        setting, quality = self._settings.webp_method, self._settings.webp_quality
        method = method_for(setting, height, width, quality=quality, backlog=self._backlog)
        webp = encode_webp(image, quality=quality, method=method)
        hashlib.sha256(webp).hexdigest()
        return webp

    def _time(self, stage: str, call: Callable[[], T]) -> T:
        times = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            result = call()
            times.append(time.perf_counter() - started)
        self.seconds.setdefault(stage, []).append(min(times))
        return result


def main() -> None:
    """Write seconds per image by stage as JSON, while images wait and while none does.

    And the covers of each image.
    """
    keep_large_blocks()
    cv2.setNumThreads(1)
    files = from_folder(Path(sys.argv[1])).files[:SAMPLE]
    found: dict[str, Any] = {}
    for name, backlog in (("busy", True), ("idle", False)):
        stages = Stages(WorkerSettings.load(), backlog=backlog)
        for _, data in files:
            stages.run(data)
        found[name] = {stage: fmean(seconds) for stage, seconds in stages.seconds.items()}
        found["covers"] = stages.covers  # the same both times
    Path(sys.argv[2]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
