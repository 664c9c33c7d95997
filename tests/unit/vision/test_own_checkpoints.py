"""Checkpoints that ultralytics writes: read without running their code, or clearly refused."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from consumer.errors import ModelError
from consumer.vision.detect.checkpoint import build_network, load_checkpoint
from consumer.vision.detect.detector import load_detector
from consumer.vision.detect.no_telemetry import import_tasks
from tests.unit.vision.networks import pictures

tasks = import_tasks()
# ultralytics is imported only after its telemetry is disabled.
from ultralytics import YOLO  # noqa: E402
from ultralytics.cfg import get_cfg  # noqa: E402
from ultralytics.engine.trainer import BaseTrainer  # noqa: E402
from ultralytics.utils.torch_utils import ModelEMA, strip_optimizer  # noqa: E402

pytestmark = pytest.mark.slow

NAMES = {0: "plate", 1: "car"}


def wrapped(config: str, *, channels: int = 3) -> Any:
    """Return a new model of two classes for 64 px in ultralytics' own wrapper."""
    architecture = {**tasks.yaml_model_load(config), "nc": len(NAMES), "channels": channels}
    model = YOLO(config)
    model.ckpt = {"train_args": {"imgsz": 64}}
    model.model = type(model.model)(architecture, ch=channels, verbose=False)
    model.model.names = NAMES
    return model


@pytest.mark.parametrize(
    ("config", "head"),
    [
        ("yolov8n-obb.yaml", "OBB"),
        ("yolo11n-obb.yaml", "OBB"),
        ("yolo26n-obb.yaml", "OBB26"),
        ("yolov5n.yaml", "Detect"),
        ("yolov8n.yaml", "Detect"),
        ("yolov8n-p2.yaml", "Detect"),
        ("yolov9t.yaml", "Detect"),
        ("yolov10n.yaml", "v10Detect"),
        ("yolo11n.yaml", "Detect"),
        ("yolo12n.yaml", "Detect"),
        ("yolo26n.yaml", "Detect"),
    ],
)
def test_obb_and_detect_models_of_any_number_of_classes(
    tmp_path: Path, config: str, head: str
) -> None:
    model = wrapped(config)
    model.save(tmp_path / "mine.pt")
    checkpoint = load_checkpoint(tmp_path / "mine.pt")
    assert (checkpoint.head, checkpoint.names, checkpoint.imgsz) == (head, NAMES, 64)
    expected = model.model.state_dict()
    for name, tensor in build_network(checkpoint).state_dict().items():
        assert torch.allclose(tensor, expected[name], rtol=2e-3, atol=2e-3), name
    detector = load_detector(
        tmp_path / "mine.pt", device="cpu", confidence=0.3, max_batch=1, classes=("car",)
    )
    assert len(detector.detect(pictures(1, 64, 96))) == 1


@pytest.mark.parametrize("stripped", [False, True])
def test_what_a_training_leaves_behind(tmp_path: Path, stripped: bool) -> None:
    """`last.pt` while training goes on, with its optimizer; `best.pt` after its end."""
    path = tmp_path / "last.pt"
    network = wrapped("yolov8n-obb.yaml").model
    network.args = get_cfg(overrides={"task": "obb", "imgsz": 960})
    network.criterion = network.init_criterion()
    optimizer = torch.optim.AdamW(network.parameters())
    sum(parameter.sum() for parameter in network.parameters()).backward()
    optimizer.step()
    fitness = np.float64(0.5)
    trainer = SimpleNamespace(
        ema=ModelEMA(network), model=network, epoch=3, best_fitness=fitness, fitness=fitness,
        stopper=SimpleNamespace(best_fitness=fitness, best_epoch=2), optimizer=optimizer,
        scaler=torch.amp.GradScaler("cpu", enabled=False), args=network.args,
        metrics={"metrics/mAP50(B)": fitness}, read_results_csv=lambda: {"epoch": [1, 2]},
        wdir=tmp_path, last=path, best=tmp_path / "best.pt", save_period=-1,
    )  # fmt: skip
    BaseTrainer.save_model(trainer)
    if stripped:
        strip_optimizer(path)
    checkpoint = load_checkpoint(path)
    assert (checkpoint.head, checkpoint.imgsz, checkpoint.names) == ("OBB", 960, NAMES)
    expected = trainer.ema.ema.state_dict()
    for name, tensor in build_network(checkpoint).state_dict().items():
        assert torch.allclose(tensor, expected[name], rtol=2e-3, atol=2e-3), name


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("yolov8n-seg.yaml", "head Segment is not a detection"),
        ("yolov8n-pose.yaml", "head Pose is not a detection"),
        ("yolov8n-cls.yaml", "head Classify is not a detection"),
        ("yolov8n-p6.yaml", "stride 64; up to 32"),
    ],
)
def test_models_of_other_kinds_are_refused(tmp_path: Path, config: str, reason: str) -> None:
    YOLO(config).save(tmp_path / "mine.pt")
    refused(tmp_path / "mine.pt", reason)


def test_a_fused_model_is_refused_in_one_line(tmp_path: Path) -> None:
    model = wrapped("yolov8n-obb.yaml")
    model.model.fuse(verbose=False)
    model.save(tmp_path / "mine.pt")
    refused(tmp_path / "mine.pt", "fused")


def test_a_model_for_other_than_rgb_is_refused(tmp_path: Path) -> None:
    wrapped("yolov8n.yaml", channels=1).save(tmp_path / "mine.pt")
    refused(tmp_path / "mine.pt", "1 colour channels")


def test_weights_of_another_architecture_are_refused_in_one_line(tmp_path: Path) -> None:
    model = wrapped("yolov8n-obb.yaml")
    model.model.yaml = {**model.model.yaml, "scale": "s"}
    model.save(tmp_path / "mine.pt")
    refused(tmp_path / "mine.pt", "cannot be built")


@pytest.mark.parametrize("kind", ["weights only", "TorchScript", "ONNX"])
def test_files_without_a_network_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mine.pt"
    if kind == "weights only":
        torch.save(wrapped("yolov8n.yaml").model.state_dict(), path)
    elif kind == "TorchScript":
        with warnings.catch_warnings(action="ignore"):  # deprecated, and still found
            torch.jit.trace(torch.nn.Linear(1, 1), torch.zeros(1, 1)).save(path)
    else:
        path.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.0.0" + bytes(200))
    refused(path, "ultralytics checkpoint|not a PyTorch checkpoint")


def refused(path: Path, reason: str) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        load_detector(path, device="cpu", confidence=0.3, max_batch=1)
    text = str(caught.value)
    assert path.name in text
    assert "\n" not in text
    assert len(text) < 500
