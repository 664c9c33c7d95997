"""Read pickles of ultralytics without running code of the file or of its layers."""

import importlib
import io
import re
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from consumer.errors import ModelError
from consumer.vision.detect.no_telemetry import import_tasks

_LAYER_MODULES = ("torch.nn.modules", "ultralytics.nn.modules", "ultralytics.nn.tasks")
_PLAIN_GLOBALS: dict[str, Any] = {
    "builtins.dict": dict,
    "builtins.set": set,
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": defaultdict,
}
# Settings, paths and metrics that trainers store beside the weights; they are ignored.
_NOTES = re.compile(
    r"(omegaconf|pathlib|numpy|typing)\.|builtins\.getattr$"
    r"|ultralytics\.(yolo\.)?(utils|cfg)\."
    r"|ultralytics\.utils\.(loss|tal)\."
)


class Layer:
    """Replaces any layer of a network: holds its stored state and computes nothing.

    A pickle calls the classes that it names, with its own arguments: constructors of real layers
    would allocate memory, read files and download weights.
    """

    def __init__(self, *_args: Any, **_kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None:
        vars(self).update(state)


class _Note:
    """Replaces any class of a file that is not part of the network; holds nothing."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def unpickled(data: bytes, path: Path) -> Any:
    """Return the content of the file ``path``, with a ``Layer`` for each of its layers.

    Raises:
        ModelError: not a checkpoint, or it refers to something that is no part of a network.
    """
    try:
        needed = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
    except Exception as error:
        raise ModelError(f"{path}: not a PyTorch checkpoint") from error
    if any(name.startswith("ultralytics.") for name in needed):
        import_tasks()
    allowed: list[Any] = [(_resolve(name, path), name) for name in needed]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"{path}: cannot be read safely: {error}") from error


def _resolve(name: str, path: Path) -> Any:
    """Return the object that the restricted unpickler uses for the global ``name``."""
    if name in _PLAIN_GLOBALS:
        return _PLAIN_GLOBALS[name]
    if _is_layer(name):
        return Layer
    if _NOTES.match(name):
        return _Note
    raise ModelError(f"{path}: refers to {name}, which is no part of a network")


def _is_layer(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    if module not in _LAYER_MODULES and module.rpartition(".")[0] not in _LAYER_MODULES[:2]:
        return False
    try:
        layer = getattr(importlib.import_module(module), attribute, None)
    except ImportError:
        return False
    return isinstance(layer, type) and issubclass(layer, nn.Module)
