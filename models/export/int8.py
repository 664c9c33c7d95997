"""INT8 weights and activations for an exported OpenVINO file: faster, and nearly as exact.

A quantized network cannot find the same corners. So it is judged by its purpose: whether its covers
hide the plates that the checkpoint finds, on photographs that it was not calibrated with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from consumer.errors import ModelError
from consumer.vision.cover.margins import DEFAULT_PADDING, cover_quads
from consumer.vision.detect.backends.exported import KEY
from consumer.vision.detect.detector import Detector
from consumer.vision.detect.no_telemetry import import_nncf, import_openvino
from consumer.vision.image.decoder import Pixels
from models.evaluation.metrics import covered_share, overlap

MIN_PHOTOS = 64
MIN_PLATES = 30
MAX_CALIBRATION_PHOTOS = 300
MIN_RECALL = 0.98
MAX_NEW = 0.02
CONFIDENCE = 0.3
DOUBTFUL = 0.1
"""A cover where the checkpoint has at least this score is not counted as new."""
_COVERED = 0.9
_SEED = 0


@dataclass(frozen=True)
class Fidelity:
    """How well a quantized detector replaces its checkpoint.

    ``recall``: share of the checkpoint's ``plates`` of whose area its covers hide 90 %. ``new``:
    covers per plate where the checkpoint finds nothing.
    """

    images: int
    plates: int
    recall: float
    new: float

    @property
    def is_sufficient(self) -> bool:
        """Whether it may replace the checkpoint."""
        return self.recall >= MIN_RECALL and self.new <= MAX_NEW


def split(photos: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return photographs to calibrate with and others to judge by, chosen at random.

    Raises:
        ModelError: there are fewer than MIN_PHOTOS.
    """
    if len(photos) < MIN_PHOTOS:
        raise ModelError(
            f"INT8 needs at least {MIN_PHOTOS} photographs like those that the service will"
            f" process, not {len(photos)}"
        )
    mixed = [photos[i] for i in np.random.default_rng(_SEED).permutation(len(photos))]
    count = min(MAX_CALIBRATION_PHOTOS, len(mixed) // 2)
    return mixed[:count], mixed[count:]


def quantize(path: Path, output: Path, inputs: Sequence[Pixels]) -> None:
    """Write an OpenVINO file in INT8, calibrated with detector inputs uint8 (h, w, 3).

    ``output`` must be another file: the weights are read from ``path`` until the end.

    Raises:
        ModelError: the extra is not installed.
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


def measure_fidelity(ours: Detector, theirs: Detector, inputs: Iterable[Pixels]) -> Fidelity:
    """Return how well ``theirs`` replaces ``ours``; both must report scores down to DOUBTFUL.

    Raises:
        ModelError: there are fewer than MIN_PLATES plates in the inputs.
    """
    images = plates = hidden = new = 0
    for pixels in inputs:
        images += 1
        [expected], [found] = ours.detect(pixels[None]), theirs.detect(pixels[None])
        certain = found[found.scores >= CONFIDENCE]
        covers = list(cover_quads(certain.quads, DEFAULT_PADDING))
        for quad in expected.quads[expected.scores >= CONFIDENCE]:
            plates += 1
            hidden += covered_share(quad, covers) >= _COVERED
        known = expected.quads[expected.scores >= DOUBTFUL]
        new += sum(not any(overlap(quad, it) > 0 for it in known) for quad in certain.quads)
    if plates < MIN_PLATES:
        raise ModelError(f"{plates} plates in the photographs are too few to judge INT8 by")
    return Fidelity(images, plates, hidden / plates, new / plates)
