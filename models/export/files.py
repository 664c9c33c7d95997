"""Write a checkpoint as a file for another runtime, if it finds the same plates there.

plate-detect export --model best.pt    # best.xml and best.bin, which a worker on the CPU runs
MODEL_PATH=best.pt plate-detect run
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from consumer.errors import ImageError, ModelError
from consumer.vision.detect.backends.exported import INPUT, KEY, OUTPUT, Label
from consumer.vision.detect.backends.pytorch import raw_network
from consumer.vision.detect.checkpoint import DEFAULT_IMGSZ, load_checkpoint
from consumer.vision.detect.detector import load_detector
from consumer.vision.detect.no_telemetry import import_openvino
from consumer.vision.image.decoder import Pixels, decode
from consumer.vision.image.scaling import Pyramid
from consumer.vision.views.letterbox import letterbox
from models.drawing.scenes import draw_scene
from models.evaluation.input_size import warn_of_other_size
from models.export import int8
from models.export.parity import LOWEST_SCORE, Parity, ParityError, check_parity

Format = Literal["onnx", "openvino"]
FORMATS: tuple[Format, ...] = get_args(Format)
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "openvino": ".xml"}
_OPSET = 17
_SCENE_SIZES = ((640, 480), (480, 640), (640, 384), (512, 512)) * 2
"""Of several shapes: a file that was traced with one shape may work with no other."""
_IMAGE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
_MAX_PIXELS = 200_000_000


def export(
    checkpoint: Path, output: Path, form: Format, images: Path | None, imgsz: int = DEFAULT_IMGSZ
) -> Parity:
    """Write ``checkpoint`` to ``output`` and compare the two, both in float32.

    Compared on drawn scenes and, if the folder ``images`` is named, on its photographs, their long
    side scaled to ``imgsz`` pixels as the worker does (DETECT_IMGSZ). An earlier export at
    ``output`` is replaced at the end, by a rename, and stays if anything fails.

    Raises:
        ModelError: there is no such checkpoint, or the runtime is not installed.
        ParityError: the two find different plates.
        ImageError: a photograph cannot be used; the message names it.
    """
    with replaced(output) as draft:
        _write(checkpoint, draft, form)
        ours, theirs = (
            load_detector(path, device="cpu", confidence=LOWEST_SCORE, max_batch=1)
            for path in (checkpoint, draft)
        )
        warn_of_other_size(checkpoint.name, ours.imgsz, imgsz)
        return check_parity(ours, theirs, comparison_inputs(images, imgsz))


def export_int8(
    checkpoint: Path, output: Path, photos: Path, imgsz: int = DEFAULT_IMGSZ
) -> int8.Fidelity:
    """Write ``checkpoint`` to ``output`` for OpenVINO in INT8, calibrated with half of ``photos``.

    Judged by the other photographs, in the precision in which the service runs it. ``imgsz`` and
    an earlier export: as in ``export``.

    Raises:
        ParityError: as ``export``, or too few of the checkpoint's plates would be covered.
        ModelError: as ``export``, or there are too few photographs or plates in them.
        ImageError: as ``export``.
    """
    calibration, judging = int8.split(_photos(photos))
    inputs = [detector_input(path, imgsz) for path in calibration]
    ours = load_detector(checkpoint, device="cpu", confidence=int8.DOUBTFUL, max_batch=1)
    with tempfile.TemporaryDirectory() as folder, replaced(output) as draft:
        exact = Path(folder) / "exact.xml"
        export(checkpoint, exact, "openvino", None, imgsz)
        int8.quantize(exact, draft, inputs)
        theirs = load_detector(
            draft, device="cpu", confidence=int8.DOUBTFUL, max_batch=1, precision="auto"
        )
        others = (detector_input(path, imgsz) for path in judging)
        fidelity = int8.measure_fidelity(ours, theirs, others)
        if not fidelity.is_sufficient:
            raise ParityError(
                f"in INT8 it covers {fidelity.recall:.1%} of the checkpoint's {fidelity.plates}"
                f" plates and {fidelity.new:.1%} other places; at least {int8.MIN_RECALL:.0%} and"
                f" at most {int8.MAX_NEW:.0%} are allowed"
            )
    return fidelity


@contextmanager
def replaced(output: Path) -> Iterator[Path]:
    """Yield a file to write, which replaces ``output`` if the block ends without an error.

    The file lies in the same folder, so that it is renamed: a process that has the old file open
    keeps it whole.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output.stem}-", dir=output.parent) as folder:
        draft = Path(folder) / output.name
        yield draft
        for suffix in (".bin", output.suffix):  # the weights first: MODEL_PATH names the .xml
            if draft.with_suffix(suffix).exists():
                draft.with_suffix(suffix).replace(output.with_suffix(suffix))


def comparison_inputs(photos: Path | None, imgsz: int) -> Iterator[Pixels]:
    """Yield the detector inputs that an export is compared on: drawn scenes, then photographs."""
    for seed, (width, height) in enumerate(_SCENE_SIZES):
        rgb = draw_scene(np.random.default_rng(seed), width, height).rgb
        yield letterbox(Pyramid(rgb), imgsz).pixels
    for path in _photos(photos) if photos is not None else ():
        yield detector_input(path, imgsz)


def detector_input(path: Path, imgsz: int) -> Pixels:
    """Return a photograph as detector input. Raises ImageError, which names the file."""
    try:
        rgb = decode(path.read_bytes(), max_pixels=_MAX_PIXELS).rgb
    except ImageError as error:
        raise ImageError(error.code, f"{path}: {error.detail}") from error
    return letterbox(Pyramid(rgb), imgsz).pixels


def _photos(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _IMAGE_SUFFIXES]


def _write(checkpoint: Path, output: Path, form: Format) -> None:
    loaded = load_checkpoint(checkpoint)
    network, head = raw_network(loaded)
    label = Label(head, loaded.names, loaded.imgsz, loaded.digest).as_json()
    whole = _BytesToRaw(network).eval()
    with warnings.catch_warnings():
        # Tracers warn of every computed shape; comparing the files shows whether these are right.
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
    # dynamo=False: this exporter writes plain ONNX and needs no compiler's packages.
    torch.onnx.export(
        network, (_example(),), str(output), input_names=[INPUT], output_names=[OUTPUT],
        dynamic_axes=axes, opset_version=_OPSET, dynamo=False,
    )  # fmt: skip
    model = onnx.load(output)
    onnx.helper.set_model_props(model, {KEY: label})
    onnx.save(model, output)


def _write_openvino(network: nn.Module, output: Path, label: str) -> None:
    openvino = import_openvino()
    shape = openvino.PartialShape([-1, -1, -1, 3])
    model = openvino.convert_model(network, example_input=_example(), input=[shape])
    model.set_rt_info(label, KEY)
    openvino.save_model(model, output)  # weights in half precision, as in checkpoints


def _example() -> Tensor:
    return torch.zeros((1, 96, 128, 3), dtype=torch.uint8)


class _BytesToRaw(nn.Module):
    """The network with its first step: from uint8 (N, h, w, 3) to float (N, 3, h, w), 0 to 1."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        raw: Tensor = self.network(images.permute(0, 3, 1, 2).float() / 255)
        return raw
