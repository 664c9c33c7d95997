"""The plate detector: a YOLO network on some back end, and nothing of ultralytics' predictor."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from consumer.errors import ModelError
from consumer.vision.detect.backends.base import STRIDE, Network, Precision
from consumer.vision.detect.heads import chosen_classes
from consumer.vision.detect.obb import Detections, detections

DEFAULT_IOU = 0.5
_PIXELS_PER_IMAGE = 640 * 640


class Detector(Protocol):
    """Finds plates in letterboxed images.

    ``imgsz``: long side in pixels to letterbox to. ``stride``: sides must be multiples of it.
    ``name``: of the model file. ``digest``: SHA-256 of the model file, hexadecimal.
    """

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def imgsz(self) -> int: ...
    @property
    def stride(self) -> int: ...

    def detect(self, batch: NDArray[np.uint8]) -> list[Detections]:
        """Return one ``Detections`` per image of ``batch``, uint8 (N, h, w, 3) RGB.

        Quads are in pixels of the batch. The same image gives the same plates in any batch (within
        0.5 px and 0.001 of score). On a CPU several threads may call it at the same time.

        Raises:
            ModelError: the network's output is not finite; no image of the batch has a result.
        """
        ...


class NetworkDetector:
    """``Detector`` that runs a network on any back end."""

    stride = STRIDE

    def __init__(
        self,
        network: Network,
        *,
        confidence: float,
        iou: float,
        max_batch: int,
        classes: Sequence[str] = (),
    ) -> None:
        self.name, self.digest, self.imgsz = network.name, network.digest, network.imgsz
        self._network, self._head = network, network.head
        count = range(network.head.classes)
        names = {index: network.names.get(index, str(index)) for index in count}
        self._unwanted = sorted(set(names) - set(chosen_classes(classes, names)))
        self._confidence, self._iou, self._max_batch = confidence, iou, max_batch

    def detect(self, batch: NDArray[np.uint8]) -> list[Detections]:
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[3] != 3:
            raise ValueError(f"expected uint8 (N, h, w, 3), got {batch.dtype} {batch.shape}")
        if batch.shape[1] % self.stride or batch.shape[2] % self.stride:
            raise ValueError(f"{batch.shape[1:3]} are not multiples of {self.stride}")
        found: list[Detections] = []
        # A pass of large tiles must not take more memory than one of as many small images.
        fitting = self._max_batch * _PIXELS_PER_IMAGE // (batch.shape[1] * batch.shape[2])
        size = 1 if self._network.one_by_one else max(1, min(self._max_batch, fitting))
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            found.extend(self._read(raw, *part.shape[1:3]) for raw in self._checked(part))
        return found

    def warm_up(self) -> None:
        """Run the smallest and the largest batch once, so that the first real one is not slow.

        Raises:
            ModelError: the output of the network does not fit its head.
        """
        sizes = {1, self._max_batch} if self._network.batches_matter else {1}
        for size in sorted(sizes):
            side = -(-self.imgsz // self.stride) * self.stride
            self._checked(np.zeros((size, side, side, 3), np.uint8))

    def _read(self, raw: NDArray[np.float32], height: int, width: int) -> Detections:
        found = self._head.decode(raw, height, width, self._confidence, self._unwanted)
        return detections(found, iou=self._iou)

    def _checked(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the raw output (N, rows, anchors) of the network, checked."""
        raw = self._network.forward(batch)
        anchors = self._head.anchors(*batch.shape[1:3])
        if raw.shape != (len(batch), self._head.rows, anchors):
            raise ModelError(f"the network returned shape {raw.shape}, which is not a detection")
        if not np.isfinite(raw).all():
            raise ModelError("the network's output is not finite")
        return raw


def load_detector(  # noqa: PLR0913 - all but the path by name
    path: Path,
    *,
    device: str,
    confidence: float,
    iou: float = DEFAULT_IOU,
    max_batch: int,
    classes: Sequence[str] = (),
    precision: Precision = "float32",
    threads: int = 0,
    passes: int = 1,
) -> NetworkDetector:
    """Load the model file ``path`` on ``device`` (cpu, cuda or cuda:N) and warm it up.

    ``.xml`` and ``.onnx`` files, which ``plate-detect export`` writes, run on OpenVINO and ONNX
    Runtime; all others are checkpoints for PyTorch.

    Args:
        confidence: plates below this score (0 to 1) are not returned.
        iou: overlap over which two boxes count as one plate.
        max_batch: larger batches are cut into parts of this size.
        classes: names or ids of the classes that are returned; all if empty.
        precision: of the network's numbers.
        threads: of one pass on the CPU; 0: the back end's default. For PyTorch it holds for the
            whole process.
        passes: how many run at the same time.

    Raises:
        ModelError: the file is missing or not a detector that runs, no such device or class.
    """
    network = _load_network(path, device, precision, threads, passes)
    if max(network.head.strides) > STRIDE:
        # With a coarser (P6) output it would run on some shapes only.
        raise ModelError(
            f"{path}: an output has stride {max(network.head.strides)}; up to {STRIDE} are"
            " supported"
        )
    detector = NetworkDetector(
        network, confidence=confidence, iou=iou, max_batch=max_batch, classes=classes
    )
    try:
        detector.warm_up()
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{path}: the network does not run: {reason}") from error
    return detector


def _load_network(
    path: Path, device: str, precision: Precision, threads: int, passes: int
) -> Network:
    from consumer.vision.detect.backends import exported

    if path.suffix == ".onnx":
        return exported.load_onnx(path, device, precision, threads)
    if path.suffix == ".xml":
        return exported.load_openvino(path, device, precision, threads, passes)
    try:
        from consumer.vision.detect.backends import pytorch
    except ModuleNotFoundError as error:
        raise ModelError(
            f"{path}: a checkpoint needs PyTorch and ultralytics, which are not installed"
            f" ({error.name}); on the CPU, put its export beside it (`plate-detect export`)"
        ) from error
    return pytorch.load(path, device, precision, threads)
