"""Small networks with random weights that find something: fast to build and to run."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from consumer.vision.detect.checkpoint import save_checkpoint
from consumer.vision.detect.no_telemetry import import_tasks

# For such small networks a second thread takes more time than it saves.
torch.set_num_threads(1)

CONFIGS = {"OBB": "yolov8n-obb.yaml", "OBB26": "yolo26n-obb.yaml", "Detect": "yolov8n.yaml",
           "v10Detect": "yolov10n.yaml"}  # fmt: skip


def network(head: str = "OBB", *, classes: int = 1, seed: int = 1) -> Any:
    """Return a network whose output depends on the place and on the image."""
    tasks = import_tasks()
    architecture = tasks.yaml_model_load(CONFIGS[head])
    architecture["scales"] = {"n": [0.33, 0.125, 256]}
    kind = tasks.OBBModel if head.startswith("OBB") else tasks.DetectionModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(architecture, ch=3, nc=classes, verbose=False).eval()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.data.uniform_(0.6, 1.6)
                module.bias.data.uniform_(-0.3, 0.3)
                torch.nn.init.constant_(module.get_buffer("running_var"), 0.2)
        for name in ("cv3", "one2one_cv3"):
            for branch in getattr(model.model[-1], name, None) or ():
                branch[-1].bias.data.fill_(-1.0)
    return model


def write(path: Path, head: str = "OBB", *, classes: int = 1) -> Path:
    """Write such a network to ``path`` as a model file."""
    names = {index: f"kind {index}" for index in range(classes)}
    save_checkpoint(network(head, classes=classes), path, names=names, imgsz=160, source="random")
    return path


def pictures(count: int = 5, height: int = 192, width: int = 320) -> NDArray[np.uint8]:
    """Return uint8 (count, height, width, 3) of noise in blocks."""
    rng = np.random.default_rng(7)
    blocks = rng.integers(0, 256, (count, height // 16, width // 16, 3), np.uint8)
    return blocks.repeat(16, axis=1).repeat(16, axis=2)
