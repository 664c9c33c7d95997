"""A stand-in for the detector, for tests of everything around it. It sees nothing.

Chosen by MODEL_PATH=stand-in:<milliseconds per image>, so that thousands of images pass quickly
and without torch. Whoever sets that by mistake leaks nothing: it has the whole image covered.
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

from consumer.vision.letterbox import STRIDE
from consumer.vision.obb import Detections

POISON_VARIABLE = "PLATE_DETECT_TEST_POISON"
_CHOICE = re.compile(r"stand-in:(\d{1,6})")
_IMGSZ = 640


class StandInDetector:
    """`Detector` that takes its time and answers each image with one quad over all of it."""

    stride = STRIDE
    imgsz = _IMGSZ
    digest = "stand-in, no detector"

    def __init__(self, milliseconds: int) -> None:
        self.name = f"stand-in:{milliseconds}"
        self._seconds = milliseconds / 1000
        self._device = threading.Lock()

    def detect(self, batch: NDArray[np.uint8], *, alone: bool = False) -> list[Detections]:  # noqa: ARG002
        """One quad per image of ``batch``, uint8 (N, h, w, 3), far over its borders; score 1."""
        with self._device:  # as one device would, whoever asks
            time.sleep(self._seconds * len(batch))
        height, width = batch.shape[1:3]
        corners = ((-1, -1), (2, -1), (2, 2), (-1, 2))
        quad = np.array(corners, np.float32) * np.array((width, height), np.float32)
        return [Detections.exact(quad[None].copy(), np.ones(1, np.float32)) for _ in batch]


def chosen_standin(model_path: Path) -> StandInDetector | None:
    """The stand-in, if the path is its name and not a file's."""
    choice = _CHOICE.fullmatch(model_path.name)
    return None if choice is None or model_path.exists() else StandInDetector(int(choice[1]))


class Poison:
    """Kills the process that touches certain files, as a defect of a decoder would.

    ``digests``: SHA-256 of the files, hexadecimal, separated by commas.
    """

    def __init__(self, digests: str) -> None:
        self._digests = frozenset(digests.lower().split(",")) - {""}

    @classmethod
    def from_environment(cls) -> "Poison":
        """What PLATE_DETECT_TEST_POISON names; asked for only together with the stand-in."""
        return cls(os.environ.get(POISON_VARIABLE, ""))

    def swallow(self, data: bytes) -> None:
        """End this process by SIGKILL if ``data`` is poison."""
        if self._digests and hashlib.sha256(data).hexdigest() in self._digests:
            os.kill(os.getpid(), signal.SIGKILL)
