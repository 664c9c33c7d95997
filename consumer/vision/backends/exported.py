"""Files that `plate-detect export` writes: ONNX for ONNX Runtime, OpenVINO's .xml with its .bin.

Neither needs PyTorch. The network in them takes uint8 (N, h, w, 3) RGB and answers with its head's
own numbers; what those mean lies in the file, as JSON under the key KEY.
"""

import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consumer.errors import ModelError
from consumer.vision.backends.base import Forward, Network, Precision
from consumer.vision.heads import Head
from consumer.vision.no_telemetry import import_openvino

KEY = "plate_detect"
FORMAT = "plate-detect-export/1"
INPUT, OUTPUT = "images", "raw"


@dataclass(frozen=True, slots=True)
class Label:
    """What an exported file says of itself. ``source``: SHA-256 of the checkpoint it came from."""

    head: Head
    names: dict[int, str]
    imgsz: int
    source: str

    def as_json(self) -> str:
        """Return the text that goes into the file."""
        values = {
            "format": FORMAT, "head": self.head.as_dict(), "imgsz": self.imgsz,
            "names": {str(index): name for index, name in self.names.items()},
            "source": self.source,
        }  # fmt: skip
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str, path: Path) -> "Label":
        """Read it back. Raises ModelError if it is not such a text."""
        try:
            values = json.loads(text)
            if values["format"] != FORMAT:
                raise ValueError(f"its format is {values['format']!r}")
            names = {int(index): str(name) for index, name in values["names"].items()}
            head = Head.from_dict(values["head"])
            return cls(head, names, int(values["imgsz"]), str(values["source"]))
        except (LookupError, TypeError, ValueError) as error:
            raise ModelError(f"{path}: not written by `plate-detect export`: {error}") from error


def load_openvino(
    path: Path, device: str, precision: Precision, threads: int, passes: int
) -> Network:
    """Load an OpenVINO file on the CPU. Raises ModelError: not such a file, no openvino."""
    try:
        openvino = import_openvino()
    except ImportError as error:
        raise ModelError(f"{path} needs OpenVINO: pip install 'plate-detect[openvino]'") from error
    if device != "cpu":
        raise ModelError(f"{path}: OpenVINO runs on the CPU here, not on {device!r}")
    weights = path.with_suffix(".bin")
    digest = _digest(path, weights)
    core = openvino.Core()
    try:
        model = core.read_model(path)
        text = model.get_rt_info(KEY).value if model.has_rt_info(KEY) else "{}"
        options: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads * passes}
        if precision != "auto":  # which is the plugin's own: bfloat16 where the CPU has it
            options["INFERENCE_PRECISION_HINT"] = "f32" if precision == "float32" else "bf16"
        compiled = core.compile_model(model, "CPU", {**options, "NUM_STREAMS": passes})
        # Streams share no threads: one pass on all of them needs a network of one stream.
        whole = {**options, "NUM_STREAMS": 1}
        wide = core.compile_model(model, "CPU", whole) if passes > 1 else None
        used = compiled.get_property("INFERENCE_PRECISION_HINT")
    except RuntimeError as error:
        raise ModelError(f"{path}: OpenVINO cannot load it: {_one_line(error)}") from error
    return _network(
        path, digest, Label.from_json(str(text), path), _asking(compiled),
        one_by_one=used != openvino.Type.f32, wide=_asking(wide) if wide else None,
    )  # fmt: skip


def _asking(compiled: Any) -> Forward:
    requests = threading.local()  # one pass at a time on each

    def forward(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        request = getattr(requests, "mine", None)
        if request is None:
            request = requests.mine = compiled.create_infer_request()
        answer = request.infer({0: np.ascontiguousarray(batch)})[0]
        return np.array(answer, np.float32)  # its own memory is written to by the next pass

    return forward


def load_onnx(path: Path, device: str, precision: Precision, threads: int) -> Network:
    """Load an ONNX file. Raises ModelError: not such a file, no onnxruntime, no such device."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelError(f"{path} needs ONNX Runtime: pip install 'plate-detect[onnx]'") from error
    if precision == "bfloat16":
        raise ModelError(f"{path}: ONNX Runtime counts in float32 here; INFERENCE_PRECISION=auto")
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
    except Exception as error:  # its errors share no class but this
        raise ModelError(f"{path}: ONNX Runtime cannot load it: {_one_line(error)}") from error

    def forward(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        [answer] = session.run([OUTPUT], {INPUT: np.ascontiguousarray(batch)})
        return np.asarray(answer, np.float32)

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
    wide: Forward | None = None,
) -> Network:
    return Network(
        forward, label.head, path.name, digest, label.imgsz, label.names,
        one_by_one=one_by_one, wide=wide,
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
