"""Model files: our plain format, and ``.pt`` files of ultralytics. Loading them runs no code.

Our format is a dict of plain values and tensors that ``torch.load(weights_only=True)`` reads::

    {"format": "plate-detect/1", "yaml": architecture as ultralytics describes it,
     "names": {class index: name}, "state_dict": {name: half-precision tensor},
     "imgsz": long side of the input in pixels, "source": where the weights come from}

A file of ultralytics is a pickle of whole modules. The same restricted unpickler reads it, with an
empty class for each layer of ultralytics and torch that the file names, and nothing else. Only the
tensors and the architecture of the result are used, and the network is built from them.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from consumer.errors import ModelError
from consumer.vision.detect.no_telemetry import import_tasks
from consumer.vision.detect.unpickling import Layer, unpickled

FORMAT = "plate-detect/1"
DEFAULT_IMGSZ = 640
_SIZES = range(1, 8193)
_CHANNELS = 3
_MAX_REASON_CHARACTERS = 300

_NETWORKS = {
    "OBB": "OBBModel",
    "OBB26": "OBBModel",
    "Detect": "DetectionModel",
    "v10Detect": "DetectionModel",
}
_ACTIVATION = re.compile(r"(torch\.)?nn\.\w+\(\)")
_LAYER = re.compile(r"(nn\.)?\w+")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model file in memory: the network is built from ``yaml`` and ``state_dict``.

    ``head``: ultralytics' class of the last layer, one of OBB, OBB26, Detect, v10Detect. ``name``
    and ``digest`` (SHA-256, hexadecimal): of the file.
    """

    yaml: dict[str, Any]
    names: dict[int, str]
    state_dict: dict[str, torch.Tensor]
    imgsz: int
    source: str
    head: str
    name: str
    digest: str


def save_checkpoint(
    model: nn.Module,
    path: Path,
    *,
    names: Mapping[int, str],
    imgsz: int = DEFAULT_IMGSZ,
    source: str,
) -> None:
    """Write ``model`` (a not yet fused ultralytics detection or OBB network) to ``path``.

    Raises:
        ModelError: ``load_checkpoint`` would refuse this kind of network.
    """
    architecture = _plain_yaml(getattr(model, "yaml", None), path)
    _head(architecture, path)
    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).cpu().clone()
        for name, tensor in model.state_dict().items()
    }
    content = {
        "format": FORMAT,
        "yaml": architecture,
        "names": {int(index): str(name) for index, name in names.items()},
        "state_dict": state,
        "imgsz": int(imgsz),
        "source": source,
    }
    torch.save(content, path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a model file of either format. Raises ModelError: missing or not such a file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: no readable model file: {error.strerror}") from error
    digest = hashlib.sha256(data).hexdigest()
    content = unpickled(data, path)
    try:
        if isinstance(content, dict) and content.get("format") == FORMAT:
            return _from_plain(content, path, digest)
        if isinstance(content, dict) and isinstance(_network(content), Layer):
            return _from_stock(content, path, digest)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path}: incomplete model file: {error!r}") from error
    raise ModelError(f"{path}: neither a {FORMAT} file nor an ultralytics checkpoint")


def build_network(checkpoint: Checkpoint) -> nn.Module:
    """Return the network of ``checkpoint``: float32, on the CPU, in eval mode, not fused.

    Raises:
        ModelError: architecture and weights do not match, or it is not made for RGB images.
    """
    channels = checkpoint.yaml.get("channels", _CHANNELS)
    if channels != _CHANNELS:
        raise ModelError(f"{checkpoint.name}: made for {channels} colour channels, not {_CHANNELS}")
    network_class = getattr(import_tasks(), _NETWORKS[checkpoint.head])
    try:
        with torch.random.fork_rng(devices=[]):
            # The architecture has nc; passing it again would only be logged.
            network: nn.Module = network_class(checkpoint.yaml, verbose=False)
        state = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in checkpoint.state_dict.items()
        }
        if _is_fused(state, network):
            raise ModelError(f"{checkpoint.name}: its layers are fused; save it before fuse()")
        network.load_state_dict(state, strict=True)
    except ModelError:
        raise
    except Exception as error:
        # torch lists each tensor that does not match: hundreds of lines.
        reason = " ".join(str(error).split())[:_MAX_REASON_CHARACTERS]
        raise ModelError(f"{checkpoint.name}: the network cannot be built: {reason}") from error
    return network.eval()


def _is_fused(state: Mapping[str, torch.Tensor], network: nn.Module) -> bool:
    # fuse() turns a convolution and its normalisation into a convolution with a bias.
    return any(name.endswith(".conv.bias") for name in state.keys() - network.state_dict().keys())


def _from_plain(content: dict[str, Any], path: Path, digest: str) -> Checkpoint:
    architecture = _plain_yaml(content["yaml"], path)
    state = dict(content["state_dict"])
    if not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise ModelError(f"{path}: state_dict holds something else than tensors")
    imgsz = int(content["imgsz"])
    if imgsz not in _SIZES:
        raise ModelError(f"{path}: imgsz {imgsz} is no size")
    return Checkpoint(
        yaml=architecture,
        names={int(index): str(name) for index, name in content["names"].items()},
        state_dict=state,
        imgsz=imgsz,
        source=str(content["source"]),
        head=_head(architecture, path),
        name=path.name,
        digest=digest,
    )


def _from_stock(content: dict[str, Any], path: Path, digest: str) -> Checkpoint:
    network = _network(content)
    architecture = _plain_yaml(network.yaml, path)
    names = network.names if isinstance(network.names, dict) else dict(enumerate(network.names))
    training = content.get("train_args")
    imgsz = training.get("imgsz") if isinstance(training, dict) else None
    return Checkpoint(
        yaml=architecture,
        names={int(index): str(name) for index, name in names.items()},
        state_dict=dict(_tensors(network)),
        imgsz=imgsz if isinstance(imgsz, int) and imgsz in _SIZES else DEFAULT_IMGSZ,
        source=f"ultralytics {content.get('version') or 'checkpoint'}",
        head=_head(architecture, path),
        name=path.name,
        digest=digest,
    )


def _network(content: dict[str, Any]) -> Any:
    averaged = content.get("ema")
    return content.get("model") if averaged is None else averaged


def _tensors(module: Layer, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the content of ``state_dict``, without its hooks, which old pickles lack."""
    state = vars(module)
    buffers = state.get("_non_persistent_buffers_set", ())
    for name, tensor in (*state["_parameters"].items(), *state["_buffers"].items()):
        if tensor is not None and name not in buffers:
            yield prefix + name, tensor.detach()
    for name, child in state["_modules"].items():
        if child is not None:
            yield from _tensors(child, f"{prefix}{name}.")


def _plain_yaml(architecture: Any, path: Path) -> dict[str, Any]:
    """Return a copy of only JSON values."""
    try:
        plain: Any = json.loads(json.dumps(architecture, default=dict))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{path}: the architecture is not plain data: {error}") from error
    if not isinstance(plain, dict) or not plain.get("head"):
        raise ModelError(f"{path}: no architecture in it")
    return dict(plain)


def _head(architecture: dict[str, Any], path: Path) -> str:
    """Return the name of the last layer, after a check that building the network runs no code."""
    layers = [str(layer[2]) for part in ("backbone", "head") for layer in architecture[part]]
    foreign = [name for name in layers if not _LAYER.fullmatch(name) or name == "TorchVision"]
    if foreign:
        raise ModelError(f"{path}: layer {foreign[0]} is not supported")
    activation = architecture.get("activation")
    if activation is not None and not _ACTIVATION.fullmatch(str(activation)):
        raise ModelError(f"{path}: activation {activation!r} is not a plain torch.nn activation")
    if layers[-1] not in _NETWORKS:
        raise ModelError(f"{path}: head {layers[-1]} is not a detection or OBB head")
    return layers[-1]
