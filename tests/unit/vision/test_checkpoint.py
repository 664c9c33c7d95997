"""Model files: reading returns what was written, runs no code and opens no connection."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from consumer.errors import ModelError
from consumer.vision.detect.checkpoint import (
    FORMAT,
    build_network,
    load_checkpoint,
    save_checkpoint,
)
from consumer.vision.detect.detector import load_detector
from tests.unit.vision.networks import network, write


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / "small.pt", classes=2)


def altered(model_file: Path, path: Path, **changes: Any) -> Path:
    content = torch.load(model_file, weights_only=True)
    torch.save({**content, **changes}, path)
    return path


def test_what_is_saved_is_loaded(model_file: Path) -> None:
    checkpoint = load_checkpoint(model_file)
    assert (checkpoint.head, checkpoint.imgsz, checkpoint.source) == ("OBB", 160, "random")
    assert checkpoint.names == {0: "kind 0", 1: "kind 1"}
    expected = network(classes=2).state_dict()
    loaded = build_network(checkpoint).state_dict()
    assert loaded.keys() == expected.keys()
    for name, tensor in loaded.items():
        assert tensor.dtype == expected[name].dtype
        assert torch.allclose(tensor, expected[name], atol=2e-3, rtol=2e-3), name


def test_the_file_is_plain_and_half(model_file: Path) -> None:
    content = torch.load(model_file, weights_only=True)
    assert set(content) == {"format", "yaml", "names", "state_dict", "imgsz", "source"}
    assert content["format"] == FORMAT
    dtypes = {tensor.dtype for tensor in content["state_dict"].values()}
    assert dtypes == {torch.float16, torch.int64}
    assert torch.serialization.get_unsafe_globals_in_checkpoint(model_file) == []
    json.dumps(content["yaml"])


def test_building_leaves_the_random_state_alone(model_file: Path) -> None:
    checkpoint = load_checkpoint(model_file)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build_network(checkpoint)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("key", ["ema", "model"])
def test_a_stock_file_is_read(tmp_path: Path, key: str) -> None:
    model = network("Detect").half()
    model.names, model.args = {0: "plate"}, {"any": "thing"}
    content = {"ema": None, "model": None, key: model, "train_args": {"imgsz": 416}, "date": "x"}
    torch.save({**content, "version": "8.4"}, tmp_path / "stock.pt")
    checkpoint = load_checkpoint(tmp_path / "stock.pt")
    assert (checkpoint.head, checkpoint.imgsz, checkpoint.names) == ("Detect", 416, {0: "plate"})
    loaded, expected = build_network(checkpoint).state_dict(), model.float().state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


class Settings:
    """Replaces the settings objects of trainers, which are recognised by their module."""

    def __init__(self) -> None:
        self.epochs = 3


def test_settings_of_trainers_are_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = type(sys)("omegaconf")
    monkeypatch.setattr(Settings, "__module__", "omegaconf")
    module.Settings = Settings  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "omegaconf", module)
    torch.save({"model": network("Detect"), "train_args": Settings()}, tmp_path / "stock.pt")
    monkeypatch.delitem(sys.modules, "omegaconf")
    assert load_checkpoint(tmp_path / "stock.pt").imgsz == 640


class Bomb:
    """Creates a folder when it is unpickled."""

    def __init__(self, target: Path, call: Callable[..., Any]) -> None:
        self.target, self.call = target, call

    def __reduce__(self) -> tuple[Any, ...]:
        if self.call is eval:
            return (eval, (f"__import__('os').mkdir({str(self.target)!r})",))
        return (self.call, (self.target,))


@pytest.mark.parametrize("key", ["model", "train_args", "format"])
@pytest.mark.parametrize("call", [os.mkdir, eval, Path.mkdir])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_file_does_not_run(
    tmp_path: Path, key: str, call: Callable[..., Any], zipped: bool
) -> None:
    target = tmp_path / "was here"
    content = {"format": FORMAT, "model": None, key: Bomb(target, call)}
    path = tmp_path / "evil.pt"
    if zipped:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(ModelError, match=r"evil\.pt"):
        load_checkpoint(path)
    assert not target.exists()


@pytest.mark.parametrize(
    "activation", ["__import__('os').system('true')", "print('x')", "nn.SiLU(print('x'))"]
)
def test_an_activation_with_code_is_refused(
    model_file: Path, tmp_path: Path, activation: str
) -> None:
    architecture = torch.load(model_file, weights_only=True)["yaml"]
    path = altered(model_file, tmp_path / "m.pt", yaml={**architecture, "activation": activation})
    with pytest.raises(ModelError, match="activation"):
        load_checkpoint(path)


@pytest.mark.parametrize("layer", ["TorchVision", "torchvision.ops.Conv2dNormActivation", "a b"])
def test_layers_from_elsewhere_are_refused(model_file: Path, tmp_path: Path, layer: str) -> None:
    architecture = torch.load(model_file, weights_only=True)["yaml"]
    architecture["backbone"][0][2] = layer
    path = altered(model_file, tmp_path / "m.pt", yaml=architecture)
    with pytest.raises(ModelError, match="is not supported"):
        load_checkpoint(path)


def test_other_heads_are_refused(model_file: Path, tmp_path: Path) -> None:
    architecture = torch.load(model_file, weights_only=True)["yaml"]
    architecture["head"][-1][2] = "Classify"
    path = altered(model_file, tmp_path / "m.pt", yaml=architecture)
    with pytest.raises(ModelError, match="Classify is not a detection"):
        load_detector(path, device="cpu", confidence=0.3, max_batch=1)


def test_a_network_of_another_kind_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        save_checkpoint(torch.nn.Linear(1, 1), tmp_path / "m.pt", names={}, source="x")
    assert not (tmp_path / "m.pt").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "plate-detect/2"},
        {"format": None},
        {"yaml": {}},
        {"yaml": {"head": [[1]], "backbone": []}},
        {"names": None},
        {"state_dict": {}},
        {"state_dict": {"a": 1}},
        {"imgsz": "large"},
        {"imgsz": 0},
    ],
)
def test_incomplete_files_are_refused(
    model_file: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(ModelError):
        load_detector(
            altered(model_file, tmp_path / "m.pt", **changes),
            device="cpu",
            confidence=0.3,
            max_batch=1,
        )


@pytest.mark.parametrize("content", [None, b"", b"text", b"PK\x03\x04" + bytes(99)])
def test_files_that_are_no_checkpoint_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "mine.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"mine\.pt"):
        load_checkpoint(path)


def test_a_cut_file_is_refused(model_file: Path, tmp_path: Path) -> None:
    data = model_file.read_bytes()
    for part in (0.1, 0.5, 0.99):
        (tmp_path / "cut.pt").write_bytes(data[: int(len(data) * part)])
        with pytest.raises(ModelError):
            load_checkpoint(tmp_path / "cut.pt")


WATCHED = """
import json, os, sys
seen = []
written = []
def watch(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.system", "urllib.", "http.")):
        seen.append(event)
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        written.append(str(arguments[0]))
sys.addaudithook(watch)
from pathlib import Path
from consumer.vision.detect.detector import load_detector
import numpy as np
detector = load_detector(Path(sys.argv[1]), device="cpu", confidence=0.2, max_batch=2)
detector.detect(np.zeros((1, 64, 64, 3), np.uint8))
from ultralytics.utils import ONLINE, SETTINGS
json.dump({"seen": seen, "written": written, "online": ONLINE, "sync": SETTINGS["sync"],
           "config": os.environ["YOLO_CONFIG_DIR"],
           "foreign": [m for m in ("torchvision", "ultralytics.utils.events",
                                   "ultralytics.hub", "ultralytics.engine.predictor")
                       if m in sys.modules]}, sys.stdout)
"""


@pytest.mark.slow
def test_loading_opens_no_connection_and_leaves_no_file(model_file: Path, tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCHED, str(model_file)],
        env=environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert done.stderr == ""
    assert report["foreign"] == []
    assert (report["online"], report["sync"]) == (False, False)
    assert [e for e in report["seen"] if e.startswith(("socket.connect", "socket.getaddr"))] == []
    assert [e for e in report["seen"] if not e.startswith("socket.")] == []
    assert report["config"].startswith(str(tmp_path))
    outside = [name for name in report["written"] if not name.startswith((str(tmp_path), "/dev/"))]
    assert outside == []
    assert list(tmp_path.iterdir()) == []
