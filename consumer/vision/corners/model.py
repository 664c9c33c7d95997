"""The networks of the second stage, run as one by OpenVINO on the CPU, also beside a GPU.

Its input is a batch of uint8 (N, 96, 448, 3): see ``crop.network_input``. Its output, float
(N, 13), is for each candidate the logarithm of a likelihood ratio, four corners x, y in pixels of
the close crop, and for each corner the logarithm of its expected error in pixels.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.errors import ModelError
from consumer.vision.corners.crop import HEIGHT, INPUT_WIDTH
from consumer.vision.detect.backends.exported import open_openvino
from consumer.vision.detect.heads import Array

FORMAT = "plate-detect-corners/2"
"""The label of such a file."""
_NUMBERS = 13
_LOG_ERRORS = -4.0, 4.0  # as in training; up to a quarter of the crop's width


class CornerResult(NamedTuple):
    """What the network returns for one candidate.

    ``log_ratio``: logarithm of how much likelier the crops are with a plate than without one.
    ``corners`` (4, 2): in pixels of the close crop, clockwise on screen from the top left.
    ``error``: their expected distance from their true places, in pixels of the close crop.
    """

    log_ratio: float
    corners: Array
    error: float


class CornerModel:
    """Finds whether a candidate is a plate, and its corners."""

    def __init__(self, path: Path, *, threads: int = 1, passes: int = 1) -> None:
        """Load an OpenVINO file. Raises ModelError: missing, or another file."""
        opened = open_openvino(path, "auto", threads, passes)
        if opened.label != FORMAT:
            raise ModelError(f"{path}: not a second stage in the format {FORMAT}")
        self.name, self.digest = path.name, opened.digest
        self._forward = opened.forward
        self.examine(np.zeros((1, HEIGHT, INPUT_WIDTH, 3), np.uint8))

    def examine(self, crops: NDArray[np.uint8]) -> list[CornerResult]:
        """Return one result for each input, uint8 (N, 96, 448, 3) RGB.

        The same input has the same result in any batch. Several threads may call it at the same
        time.

        Raises:
            ModelError: the network's output has another shape or is not finite.
        """
        # One by one: on a CPU batches are no faster, and each size would need its own kernels.
        return [self._result(self._forward(crop[None])) for crop in crops]

    def _result(self, raw: Array) -> CornerResult:
        if raw.shape != (1, _NUMBERS) or not np.isfinite(raw).all():
            raise ModelError(f"{self.name} returned {raw.shape}, or numbers that are not finite")
        error = float(np.exp(raw[0, 9:].clip(*_LOG_ERRORS)).mean())
        return CornerResult(float(raw[0, 0]), raw[0, 1:9].reshape(4, 2), error)
