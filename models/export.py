"""Write a checkpoint as a file for another runtime, if it finds the same plates there.

plate-detect export --format openvino            # models/plate-obb.xml and .bin
MODEL_PATH=models/plate-obb.xml plate-detect run
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from consumer.errors import ImageError, ModelError
from consumer.vision.backends.exported import INPUT, KEY, OUTPUT, Label
from consumer.vision.backends.pytorch import raw_network
from consumer.vision.checkpoint import DEFAULT_IMGSZ, load_checkpoint
from consumer.vision.decoder import decode
from consumer.vision.detector import load_detector
from consumer.vision.letterbox import letterbox
from consumer.vision.no_telemetry import import_openvino
from models import parity
from models.parity import Parity, ParityError
from models.quantize import (
    DOUBTFUL,
    LEAST_RECALL,
    MOST_NEW,
    Fidelity,
    compare,
    quantize,
    split,
)
from models.scenes import draw_scene
from models.sizes import tell_other_size

Format = Literal["onnx", "openvino"]
FORMATS: tuple[Format, ...] = get_args(Format)
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml"}
_OPSET = 17
_DRAWN_SCENES = 8
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_MAX_PIXELS = 200_000_000

Pixels = npt.NDArray[np.uint8]


def export(
    checkpoint: Path,
    output: Path,
    form: Format,
    images: Path | None,
    imgsz: int = DEFAULT_IMGSZ,
) -> Parity:
    """Write ``checkpoint`` to ``output`` and compare the two, both in float32.

    On drawn scenes, and on the photographs of the folder ``images`` if one is named; ``imgsz``: the
    long side in pixels of what they are asked, as the worker will ask (DETECT_IMGSZ). What was
    exported to ``output`` before is replaced at the end, by a rename, and stays if anything fails.
    Raises ModelError: no such checkpoint, or the runtime is not installed. ParityError: see
    `parity.compare`. ImageError: a photograph cannot be used; it is named.
    """
    with _draft(output) as written:
        _write(checkpoint, written, form)
        return _compare(checkpoint, written, images, imgsz)


def export_int8(
    checkpoint: Path, output: Path, photos: Path, imgsz: int = DEFAULT_IMGSZ
) -> Fidelity:
    """Write ``checkpoint`` to ``output`` for OpenVINO in INT8, calibrated with part of ``photos``.

    Judged by the others of them, in the precision that the service runs it in. ``imgsz``: as for
    `export`. Raises as `export`; ParityError also if too few of the checkpoint's plates would be
    covered, ModelError also if there are too few photographs or plates in them.
    """
    calibration, judging = split(_files(photos))
    ours = load_detector(checkpoint, device="cpu", confidence=DOUBTFUL, max_batch=1)
    with tempfile.TemporaryDirectory() as folder, _draft(output) as fast:
        exact = Path(folder) / "exact.xml"
        export(checkpoint, exact, "openvino", None, imgsz)
        quantize(exact, fast, [_input(path, imgsz) for path in calibration])
        theirs = load_detector(
            fast, device="cpu", confidence=DOUBTFUL, max_batch=1, precision="auto"
        )
        fidelity = compare(ours, theirs, (_input(path, imgsz) for path in judging))
        if not fidelity.holds:
            raise ParityError(
                f"in INT8 it covers {fidelity.recall:.1%} of the checkpoint's {fidelity.plates}"
                f" plates and {fidelity.new:.1%} other places; at least {LEAST_RECALL:.0%} and at"
                f" most {MOST_NEW:.0%} are allowed"
            )
    return fidelity


@contextmanager
def _draft(output: Path) -> Iterator[Path]:
    """Yield a file to write, which takes the place of ``output`` if the block ends well.

    It lies beside it, so that a rename does it: who has the old file open, keeps it whole.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.stem}-", dir=output.parent) as folder:
        draft = Path(folder) / output.name
        yield draft
        for suffix in (".bin", output.suffix):  # the weights first: OpenVINO is told the .xml
            if draft.with_suffix(suffix).exists():
                draft.with_suffix(suffix).replace(output.with_suffix(suffix))


def _write(checkpoint: Path, output: Path, form: Format) -> None:
    loaded = load_checkpoint(checkpoint)
    network, head = raw_network(loaded)
    label = Label(head, loaded.names, loaded.imgsz, loaded.digest).as_json()
    whole = _FromBytes(network).eval()
    with warnings.catch_warnings():
        # Tracers warn of every shape that is computed; whether it is right, parity tells.
        warnings.simplefilter("ignore")
        if form == "onnx":
            _write_onnx(whole, output, label)
        else:
            _write_openvino(whole, output, label)


def _write_onnx(network: nn.Module, output: Path, label: str) -> None:
    try:
        import onnx
    except ImportError as error:
        raise ModelError("writing ONNX needs: pip install 'plate-detect[onnx]'") from error
    axes = {INPUT: {0: "images", 1: "height", 2: "width"}, OUTPUT: {0: "images", 2: "anchors"}}
    # The exporter that writes plain ONNX without a compiler's packages beside it.
    torch.onnx.export(
        network, (_example(),), str(output), input_names=[INPUT], output_names=[OUTPUT],
        dynamic_axes=axes, opset_version=_OPSET, dynamo=False,
    )  # fmt: skip
    model = onnx.load(output)
    onnx.helper.set_model_props(model, {KEY: label})
    onnx.save(model, output)


def _write_openvino(network: nn.Module, output: Path, label: str) -> None:
    try:
        openvino = import_openvino()
    except ImportError as error:
        raise ModelError("writing OpenVINO needs: pip install 'plate-detect[openvino]'") from error
    shape = openvino.PartialShape([-1, -1, -1, 3])
    model = openvino.convert_model(network, example_input=_example(), input=[shape])
    model.set_rt_info(label, KEY)
    openvino.save_model(model, output, compress_to_fp16=False)


def _example() -> Tensor:
    return torch.zeros((1, 96, 128, 3), dtype=torch.uint8)


class _FromBytes(nn.Module):
    """The network with what precedes it: uint8 (N, h, w, 3) in."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        answer: Tensor = self.network(images.permute(0, 3, 1, 2).float() / 255)
        return answer


def _compare(checkpoint: Path, output: Path, images: Path | None, imgsz: int) -> Parity:
    lowest = parity.CONFIDENCE - 2 * parity.MOST_SCORE_OFF

    def load(path: Path) -> Any:
        return load_detector(path, device="cpu", confidence=lowest, max_batch=1)

    ours, theirs = load(checkpoint), load(output)
    tell_other_size(checkpoint.name, ours.imgsz, imgsz)
    return parity.compare(ours, theirs, (letterbox(rgb, imgsz).pixels for rgb in _pictures(images)))


def _pictures(folder: Path | None) -> Iterator[Pixels]:
    for seed in range(_DRAWN_SCENES):
        # Of several shapes: a file that was traced with one may have kept it.
        width, height = ((640, 480), (480, 640), (640, 384), (512, 512))[seed % 4]
        yield draw_scene(np.random.default_rng(seed), width, height).rgb
    if folder is not None:
        for path in _files(folder):
            yield _read(path)


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _IMAGE_SUFFIXES]


def _input(path: Path, imgsz: int) -> Pixels:
    return letterbox(_read(path), imgsz).pixels


def _read(path: Path) -> Pixels:
    try:
        return decode(path.read_bytes(), max_pixels=_MAX_PIXELS).rgb
    except ImageError as error:
        raise ImageError(error.code, f"{path}: {error.detail}") from error
