"""The plate detector: a YOLO network, its forward pass, and nothing of ultralytics' predictor."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from consumer.errors import ModelError
from consumer.vision.checkpoint import Checkpoint, build_network, load_checkpoint
from consumer.vision.classes import chosen_classes
from consumer.vision.letterbox import STRIDE
from consumer.vision.obb import DECODERS, Detections, detections
from consumer.vision.precision import Precision, compute_dtype, reduce_precision

DEFAULT_IOU = 0.5
_BOX_ROWS = 4
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
        0.5 px and 0.001 of score). Raises ModelError if the network's output is not finite: then
        no image of the batch has a result. Call it from one thread at a time.
        """
        ...


class TorchDetector:
    """``Detector`` that runs a checkpoint with PyTorch on the CPU or a CUDA device."""

    stride = STRIDE

    def __init__(
        self,
        network: nn.Module,
        checkpoint: Checkpoint,
        *,
        device: torch.device,
        confidence: float,
        iou: float,
        max_batch: int,
        classes: Sequence[str] = (),
    ) -> None:
        self.name, self.digest = checkpoint.name, checkpoint.digest
        self.imgsz = checkpoint.imgsz
        self._decoder = DECODERS[checkpoint.head]
        angle_rows = 1 if checkpoint.head.startswith("OBB") else 0
        count: int = network.get_submodule("model")[-1].nc  # type: ignore[index]
        self._rows = _BOX_ROWS + count + angle_rows
        names = {index: checkpoint.names.get(index, str(index)) for index in range(count)}
        unwanted = set(names) - set(chosen_classes(classes, names))
        self._unread = [_BOX_ROWS + index for index in sorted(unwanted)]
        self._device, self._cuda = device, device.type == "cuda"
        self._dtype = next(network.parameters()).dtype
        self._confidence, self._iou, self._max_batch = confidence, iou, max_batch
        self._network = network

    def detect(self, batch: NDArray[np.uint8]) -> list[Detections]:
        if batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[3] != 3:
            raise ValueError(f"expected uint8 (N, h, w, 3), got {batch.dtype} {batch.shape}")
        if batch.shape[1] % self.stride or batch.shape[2] % self.stride:
            raise ValueError(f"{batch.shape[1:3]} are not multiples of {self.stride}")
        found: list[Detections] = []
        # A pass of large tiles must not take more memory than one of as many small images.
        fitting = self._max_batch * _PIXELS_PER_IMAGE // (batch.shape[1] * batch.shape[2])
        most = max(1, min(self._max_batch, fitting))
        if self._dtype is torch.bfloat16:
            # A batch adds up in another order than an image alone, and so coarse a number shows
            # it. On a CPU, where this is used, batches are no faster anyway.
            most = 1
        for start in range(0, len(batch), most):
            raws = self._forward(batch[start : start + most])
            found.extend(map(self._read, raws))
        return found

    def _read(self, raw: NDArray[np.float32]) -> Detections:
        wanted = np.delete(raw, self._unread, axis=0) if self._unread else raw
        return detections(wanted, self._decoder, confidence=self._confidence, iou=self._iou)

    def warm_up(self) -> None:
        """Run the smallest and the largest batch once, so that the first real one is not slow.

        Raises ModelError if the network does not answer as its head should.
        """
        sizes = {1, self._max_batch} if self._cuda else {1}
        for size in sorted(sizes):
            side = -(-self.imgsz // self.stride) * self.stride
            self._forward(np.zeros((size, side, side, 3), np.uint8))

    @torch.inference_mode()
    def _forward(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the raw output (N, rows, anchors) of the network, checked."""
        pixels = torch.from_numpy(np.ascontiguousarray(batch))
        if self._cuda:
            pixels = pixels.pin_memory().to(self._device, non_blocking=True)
        # The batch lies in memory as channels_last wants it: permuting copies nothing.
        planes = pixels.permute(0, 3, 1, 2)
        output = self._network(planes.float().div_(255).to(self._dtype))
        raw = (output[0] if isinstance(output, tuple) else output).float().cpu().numpy()
        # Also what an NMS-free head would answer: its 300 boxes at most are not enough for us.
        if raw.ndim != 3 or raw.shape[:2] != (len(batch), self._rows):
            raise ModelError(f"the network answered with shape {raw.shape}, not a detection")
        if not np.isfinite(raw).all():
            raise ModelError("the network's output is not finite")
        return np.asarray(raw, np.float32)


def load_detector(
    path: Path,
    *,
    device: str,
    confidence: float,
    iou: float = DEFAULT_IOU,
    max_batch: int,
    classes: Sequence[str] = (),
    precision: Precision = "float32",
) -> TorchDetector:
    """Load the model file ``path`` on ``device`` (cpu, cuda or cuda:N) and warm it up.

    ``confidence``: plates below this score (0 to 1) are not reported. ``iou``: overlap over which
    two boxes count as one plate. Batches are cut into parts of ``max_batch``. ``classes``: names
    or ids of the classes that are reported; all if empty. ``precision``: see ``compute_dtype``.
    The number of threads is torch's own setting, which this leaves alone.
    Raises ModelError: file missing or not a detector that runs, no such device or class.
    """
    target = _device(device)
    checkpoint = load_checkpoint(path)
    network = build_network(checkpoint)
    _check_stride(network, path)
    detector = TorchDetector(
        _optimised(network, target, compute_dtype(target, precision)),
        checkpoint,
        device=target,
        confidence=confidence,
        iou=iou,
        max_batch=max_batch,
        classes=classes,
    )
    try:
        detector.warm_up()
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ModelError(f"{path}: the network does not run: {reason}") from error
    return detector


def _check_stride(network: nn.Module, path: Path) -> None:
    """Refuse what would run on some shapes of image only: those with a coarser (P6) output."""
    stride = int(torch.as_tensor(network.stride).max())
    if stride > STRIDE:
        raise ModelError(f"{path}: an output has stride {stride}; up to {STRIDE} are supported")


def _optimised(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    model: Any = network
    model = model.fuse(verbose=False).requires_grad_(requires_grad=False).eval()
    optimised: nn.Module = model.to(device=device, memory_format=torch.channels_last)
    return reduce_precision(optimised, dtype)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ModelError(f"{name!r} is not a device: cpu, cuda or cuda:N") from error
    if device.type not in {"cpu", "cuda"}:
        raise ModelError(f"{name!r} is not supported: cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ModelError(f"{name!r} was asked for, but this PyTorch sees no CUDA device")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"{name!r} was asked for, but there are {torch.cuda.device_count()}")
    return device
