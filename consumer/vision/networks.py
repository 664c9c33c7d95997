"""The networks that a worker runs: the detector, and the second stage."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from consumer.errors import ModelError
from consumer.vision.corners.model import CornerModel
from consumer.vision.detect.backends.base import Precision
from consumer.vision.detect.backends.exported import has_amx, source_of
from consumer.vision.detect.detector import Detector, load_detector
from consumer.vision.steps import NetworkName, Pixels


@dataclass(frozen=True, slots=True)
class Networks:
    """Loaded networks. ``corners`` None: what the detector finds is covered as it is."""

    detector: Detector
    corners: CornerModel | None = None

    @property
    def digest(self) -> str:
        """SHA-256, hexadecimal, of the files of all networks: which ones made a result."""
        if self.corners is None:
            return self.detector.digest
        both = f"{self.detector.digest} {self.corners.digest}"
        return hashlib.sha256(both.encode()).hexdigest()

    def run(self, network: NetworkName, batch: Pixels) -> list[Any]:
        """Return the results of a network for a batch, uint8 (N, h, w, 3)."""
        if network == "detector":
            return self.detector.detect(batch)
        if self.corners is None:
            raise ValueError("there is no second stage")
        return self.corners.examine(batch)


def load_networks(  # noqa: PLR0913 - all but the paths by name
    model: Path,
    corners: Path | None,
    *,
    device: str,
    confidence: float,
    max_batch: int,
    classes: Sequence[str] = (),
    precision: Precision = "auto",
    threads: int = 1,
    passes: int = 1,
) -> Networks:
    """Load a detector, and the second stage unless ``corners`` is None; see ``load_detector``.

    Raises:
        ModelError: a file is missing or not such a network.
    """
    detector = load_detector(
        cpu_file(model, precision, fast_bfloat16=has_amx()) if device == "cpu" else model,
        device=device, confidence=confidence, max_batch=max_batch, classes=classes,
        precision=precision, threads=threads, passes=passes,
    )  # fmt: skip
    if corners is None:
        return Networks(detector)
    return Networks(detector, CornerModel(corners, threads=threads, passes=passes))


def cpu_file(model: Path, precision: Precision, *, fast_bfloat16: bool) -> Path:
    """Return the file that a CPU runs for a model file: one that was exported from it, or itself.

    An export lies beside its checkpoint NAME.pt, and needs neither PyTorch nor the checkpoint.
    ``NAME-int8.xml`` is used only if no ``precision`` is asked for, and first only if the CPU is
    slow in bfloat16, which ``NAME.xml`` has by default: with AMX that is as fast as INT8, nearer to
    the checkpoint, and takes a third of the memory (14 instead of 45 MiB for each input shape).

    Raises:
        ModelError: an export was made from another checkpoint.
    """
    if model.suffix in {".xml", ".onnx"}:
        return model
    suffixes = [".xml"]
    if precision == "auto":
        suffixes.insert(1 if fast_bfloat16 else 0, "-int8.xml")
    exports = [model.with_name(model.stem + suffix) for suffix in suffixes]
    found = next((path for path in exports if path.is_file()), None)
    if found is None:
        return model
    if model.exists() and source_of(found) != hashlib.sha256(model.read_bytes()).hexdigest():
        raise ModelError(
            f"{found} was exported from another checkpoint than {model}: run `plate-detect export`"
            " again, or delete it"
        )
    return found
