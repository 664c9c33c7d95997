"""The network that is trained: one-class YOLOv8n-OBB, with deterministic initial weights."""

from __future__ import annotations

import os

# Before the import: ultralytics must neither ask the network nor install packages by itself.
os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")

import torch
from ultralytics.nn.tasks import OBBModel

NAMES = {0: "plate"}


def build_network(seed: int = 0) -> torch.nn.Module:
    """Return a YOLOv8n-OBB network of one class with weights drawn from ``seed``.

    The random generator of the caller is left as it was.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network: torch.nn.Module = OBBModel("yolov8n-obb.yaml", ch=3, nc=1, verbose=False)
    network.names = NAMES  # type: ignore[assignment]
    return network
