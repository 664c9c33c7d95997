"""INT8 weights and activations for a file of `plate-detect export`: faster, and nearly as exact.

A quantized network cannot find the same corners, so it is judged by what matters: whether its
covers hide the plates that the checkpoint finds, on photographs that it was not calibrated with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from consumer.errors import ModelError
from consumer.vision.backends.exported import KEY
from consumer.vision.detector import Detector
from consumer.vision.margins import DEFAULT_PADDING, cover_quads
from consumer.vision.no_telemetry import import_nncf, import_openvino
from consumer.vision.obb import Detections
from models.metrics import covered_share, overlap

LEAST_PHOTOS = 64
LEAST_PLATES = 30
MOST_CALIBRATED = 300
CONFIDENCE = 0.3
DOUBTFUL = 0.1
"""What the checkpoint gives this score at least is nothing new."""
LEAST_RECALL = 0.98
MOST_NEW = 0.02
_COVERED = 0.9
_SEED = 0

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Fidelity:
    """How true a quantized detector is to its checkpoint.

    ``recall``: share of the checkpoint's ``plates`` that its covers hide to nine tenths. ``new``:
    covers per plate where the checkpoint sees nothing.
    """

    images: int
    plates: int
    recall: float
    new: float

    @property
    def holds(self) -> bool:
        """Whether it may be used in the checkpoint's place."""
        return self.recall >= LEAST_RECALL and self.new <= MOST_NEW


def split(photos: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return photographs to calibrate with and others to judge by, chosen at random.

    Raises ModelError: there are too few.
    """
    if len(photos) < LEAST_PHOTOS:
        raise ModelError(
            f"INT8 needs at least {LEAST_PHOTOS} photographs of what it will see, not {len(photos)}"
        )
    mixed = [photos[i] for i in np.random.default_rng(_SEED).permutation(len(photos))]
    count = min(MOST_CALIBRATED, len(mixed) // 2)
    return mixed[:count], mixed[count:]


def quantize(path: Path, output: Path, inputs: Sequence[Pixels]) -> None:
    """Write an OpenVINO file in INT8, calibrated with detector inputs uint8 (h, w, 3).

    ``output`` must be another file: the weights are read from ``path`` until the end.
    Raises ModelError: the extra is not installed.
    """
    try:
        nncf, openvino = import_nncf(), import_openvino()
    except ImportError as error:
        raise ModelError("INT8 needs: pip install 'plate-detect[int8]'") from error
    nncf.set_log_level("ERROR")
    model: Any = openvino.Core().read_model(path)
    label = model.get_rt_info(KEY).value
    calibration = nncf.Dataset([pixels[None] for pixels in inputs])
    quantized: Any = nncf.quantize(
        model, calibration, preset=nncf.QuantizationPreset.MIXED, subset_size=len(inputs)
    )
    quantized.set_rt_info(label, KEY)
    openvino.save_model(quantized, output, compress_to_fp16=False)


def compare(ours: Detector, theirs: Detector, inputs: Iterable[Pixels]) -> Fidelity:
    """Return how true ``theirs`` is to ``ours``; both must report scores down to DOUBTFUL.

    Raises ModelError: there are too few plates to tell.
    """
    images = plates = hidden = new = 0
    for pixels in inputs:
        images += 1
        [expected], [found] = ours.detect(pixels[None]), theirs.detect(pixels[None])
        sure = found[found.scores >= CONFIDENCE]
        covers = list(cover_quads(sure, DEFAULT_PADDING))
        for quad in expected.quads[expected.scores >= CONFIDENCE]:
            plates += 1
            hidden += covered_share(quad, covers) >= _COVERED
        new += sum(not _is_known(quad, expected) for quad in sure.quads)
    if plates < LEAST_PLATES:
        raise ModelError(f"{plates} plates in the photographs are too few to judge INT8 by")
    return Fidelity(images, plates, hidden / plates, new / plates)


def _is_known(quad: npt.NDArray[np.float32], expected: Detections) -> bool:
    doubtful = expected.quads[expected.scores >= DOUBTFUL]
    return any(overlap(quad, other) > 0 for other in doubtful)
