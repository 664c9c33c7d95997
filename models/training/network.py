"""The network that is trained, and the parts of ultralytics that training uses.

``import_tasks`` keeps ultralytics offline, so it is called before anything else of ultralytics is
imported; the rest of ``models`` imports ultralytics only through this module.
"""

from __future__ import annotations

from typing import Any

import torch

from consumer.vision.detect.no_telemetry import import_tasks

_tasks = import_tasks()

from ultralytics.utils.loss import v8OBBLoss  # noqa: E402 - after import_tasks
from ultralytics.utils.metrics import probiou  # noqa: E402
from ultralytics.utils.tal import make_anchors, rbox2dist  # noqa: E402

__all__ = ["NAMES", "build_network", "make_anchors", "probiou", "rbox2dist", "v8OBBLoss"]

NAMES = {0: "plate"}


def build_network(seed: int = 0) -> Any:
    """Return a YOLOv8n-OBB network of one class with random weights from ``seed``.

    torch's random state stays as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _tasks.OBBModel("yolov8n-obb.yaml", ch=3, nc=1, verbose=False)
    network.names = NAMES
    return network
