"""The network that is trained, and what of ultralytics the training uses.

Everything of ultralytics is imported through ``consumer.vision.no_telemetry``, which keeps it
offline. The rest of ``models`` imports it through this module.
"""

from __future__ import annotations

from typing import Any

import torch

from consumer.vision.no_telemetry import import_tasks

_tasks = import_tasks()

from ultralytics.utils.loss import v8OBBLoss  # noqa: E402 - after it has been told to be quiet
from ultralytics.utils.metrics import probiou  # noqa: E402
from ultralytics.utils.tal import make_anchors, rbox2dist  # noqa: E402

__all__ = ["NAMES", "build_network", "make_anchors", "probiou", "rbox2dist", "v8OBBLoss"]

NAMES = {0: "plate"}


def build_network(seed: int = 0) -> Any:
    """Return a YOLOv8n-OBB network of one class with weights drawn from ``seed``.

    The random generator of the caller is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _tasks.OBBModel("yolov8n-obb.yaml", ch=3, nc=1, verbose=False)
    network.names = NAMES
    return network
