"""A stand-in for the detector, for tests of everything around it.

It covers each image whole, or its left half, without torch and in a time that a test chooses, so
that thousands of images pass quickly. MODEL_PATH=stand-in:<ms per image>[:half][:v<version>]
chooses it, in the worker that `tests.support.worker` starts.
"""

import hashlib
import os
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.backends.base import STRIDE
from consumer.vision.detect.obb import Detections

POISON_VARIABLE = "PLATE_DETECT_TEST_POISON"
"""SHA-256 of files, hexadecimal, separated by commas, that end the process that decodes them."""

_CHOICE = re.compile(r"stand-in:(\d{1,6})(:half)?(?::v(\d+))?")


class StandInDetector:
    """`Detector` that takes its time and returns one quad for each image, that covers all of it.

    `half`: it covers the left half. `version`: its digest differs with it, and nothing else does.
    """

    stride = STRIDE
    imgsz = 640

    def __init__(self, milliseconds: int = 0, *, half: bool = False, version: int = 0) -> None:
        self.name = f"stand-in:{milliseconds}"
        self.digest = hashlib.sha256(f"stand-in, version {version}".encode()).hexdigest()
        self._seconds = milliseconds / 1000
        self._right = 0.5 if half else 2
        self._device = threading.Lock()

    def detect(self, batch: NDArray[np.uint8]) -> list[Detections]:
        """Return one quad per image of ``batch``, uint8 (N, h, w, 3), far over its borders."""
        with self._device:  # one batch after the other, as on one device
            time.sleep(self._seconds * len(batch))
        height, width = batch.shape[1:3]
        corners = ((-1, -1), (self._right, -1), (self._right, 2), (-1, 2))
        quad = np.array(corners, np.float32) * np.array((width, height), np.float32)
        return [Detections(quad[None].copy(), np.ones(1, np.float32)) for _ in batch]


def chosen_stand_in(model_path: str | Path) -> StandInDetector | None:
    """Return the stand-in that MODEL_PATH names, None if it names a model file."""
    choice = _CHOICE.fullmatch(Path(model_path).name)
    if choice is None:
        return None
    return StandInDetector(int(choice[1]), half=bool(choice[2]), version=int(choice[3] or 0))


def die_of_poison(data: bytes) -> None:
    """End this process by SIGKILL, as a defect of a decoder could, if ``data`` is poison."""
    digests = frozenset(os.environ.get(POISON_VARIABLE, "").lower().split(",")) - {""}
    if digests and hashlib.sha256(data).hexdigest() in digests:
        os.kill(os.getpid(), signal.SIGKILL)
