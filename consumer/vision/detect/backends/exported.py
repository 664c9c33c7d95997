"""Files that `plate-detect export` writes: OpenVINO's .xml with its .bin, ONNX for ONNX Runtime.

Neither needs PyTorch. The network in them takes uint8 (N, h, w, 3) RGB and returns the raw output
of its head. The file has a description of it, as JSON under the key KEY.
"""

import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from consumer.errors import ModelError
from consumer.vision.detect.backends.base import Forward, Network, Precision
from consumer.vision.detect.heads import Head
from consumer.vision.detect.no_telemetry import import_openvino

KEY = "plate_detect"
INPUT, OUTPUT = "images", "raw"

# Kernels for input shapes that were seen; 5,000 is OpenVINO's default. Measured with 54 shapes and
# two streams in bfloat16: the process takes 1,133 MiB by default, and 640 to 755 MiB with 500 to
# 1,000. A shape whose kernels are gone costs about 65 ms again.
_CACHED_KERNELS = 500


@dataclass(frozen=True, slots=True)
class Label:
    """Description in an exported file. ``source``: SHA-256 of its checkpoint."""

    head: Head
    names: dict[int, str]
    imgsz: int
    source: str
    format: Literal["plate-detect-export/1"] = "plate-detect-export/1"

    def as_json(self) -> str:
        """Return the text for the file."""
        return _LABEL.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str, path: Path) -> "Label":
        """Read the text of ``as_json``. Raises ModelError: another text."""
        try:
            return _LABEL.validate_json(text)
        except ValidationError as error:
            reason = error.errors()[0]
            place = ".".join(map(str, reason["loc"]))
            raise ModelError(
                f"{path}: not written by `plate-detect export`: {place}: {reason['msg']}"
            ) from error


_LABEL = TypeAdapter(Label)


def load_openvino(
    path: Path, device: str, precision: Precision, threads: int, passes: int
) -> Network:
    """Load an OpenVINO file on the CPU. Raises ModelError: not such a file."""
    if device != "cpu":
        raise ModelError(f"{path}: OpenVINO runs on the CPU here, not on {device!r}")
    opened = open_openvino(path, precision, threads, passes)
    return _network(
        path, opened.digest, Label.from_json(opened.label, path), opened.forward,
        # Batches are no faster on a CPU, and each size of one would need its own kernels.
        one_by_one=True,
    )  # fmt: skip


class OpenedModel(NamedTuple):
    """A compiled OpenVINO file; ``label``: its text under KEY."""

    forward: Forward
    label: str
    digest: str


def open_openvino(path: Path, precision: Precision, threads: int, passes: int) -> OpenedModel:
    """Compile an OpenVINO file for the CPU. Raises ModelError: not such a file."""
    openvino = import_openvino()
    digest = _digest(path, path.with_suffix(".bin"))
    core = openvino.Core()
    try:
        model = core.read_model(path)
        label = _text_of(model)
        options: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": threads * passes,
            "CPU_RUNTIME_CACHE_CAPACITY": _CACHED_KERNELS,
        }
        if precision != "auto":  # OpenVINO's default is bfloat16 where the CPU has it
            options["INFERENCE_PRECISION_HINT"] = "f32" if precision == "float32" else "bf16"
        compiled = core.compile_model(model, "CPU", {**options, "NUM_STREAMS": passes})
    except RuntimeError as error:
        raise ModelError(f"{path}: OpenVINO cannot load it: {_one_line(error)}") from error
    return OpenedModel(_forward_of(compiled), label, digest)


def has_amx() -> bool:
    """Return whether the CPU has instructions for matrices of bfloat16 (Linux only)."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def source_of(path: Path) -> str:
    """Return the SHA-256, hexadecimal, of the checkpoint that an OpenVINO file was exported from.

    Raises ModelError: not such a file.
    """
    try:
        text = _text_of(import_openvino().Core().read_model(path))
    except RuntimeError as error:
        raise ModelError(f"{path}: OpenVINO cannot read it: {_one_line(error)}") from error
    return Label.from_json(text, path).source


def _text_of(model: Any) -> str:
    return str(model.get_rt_info(KEY).value) if model.has_rt_info(KEY) else "{}"


def _forward_of(compiled: Any) -> Forward:
    requests = threading.local()  # a request runs one pass at a time

    def forward(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        request = getattr(requests, "mine", None)
        if request is None:
            request = requests.mine = compiled.create_infer_request()
        raw = request.infer({0: np.ascontiguousarray(batch)})[0]
        return np.array(raw, np.float32)  # a copy: the next pass writes to the same memory

    return forward


def load_onnx(path: Path, device: str, precision: Precision, threads: int) -> Network:
    """Load an ONNX file. Raises ModelError: not such a file, no onnxruntime, no such device."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"{path} needs ONNX Runtime: pip install 'plate-detect[onnx]'") from error
    if precision == "bfloat16":
        raise ModelError(f"{path}: ONNX Runtime computes in float32 here; INFERENCE_PRECISION=auto")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=_providers(device, onnxruntime, path)
        )
        text = session.get_modelmeta().custom_metadata_map.get(KEY, "{}")
    except ModelError:
        raise
    except Exception as error:  # its errors have no other common class
        raise ModelError(f"{path}: ONNX Runtime cannot load it: {_one_line(error)}") from error

    def forward(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        [raw] = session.run([OUTPUT], {INPUT: np.ascontiguousarray(batch)})
        return np.asarray(raw, np.float32)

    return _network(path, _digest(path), Label.from_json(text, path), forward)


def _providers(device: str, onnxruntime: Any, path: Path) -> list[Any]:
    if device == "cpu":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise ModelError(f"{path}: {device!r} needs onnxruntime-gpu in place of onnxruntime")
    number = int(device.partition(":")[2] or 0)
    return [("CUDAExecutionProvider", {"device_id": number})]


def _network(
    path: Path,
    digest: str,
    label: Label,
    forward: Forward,
    *,
    one_by_one: bool = False,
) -> Network:
    return Network(
        forward, label.head, path.name, digest, label.imgsz, label.names,
        one_by_one=one_by_one,
    )  # fmt: skip


def _digest(*paths: Path) -> str:
    whole = hashlib.sha256()
    for path in paths:
        try:
            whole.update(path.read_bytes())
        except OSError as error:
            raise ModelError(f"{path}: no readable model file: {error.strerror}") from error
    return whole.hexdigest()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
