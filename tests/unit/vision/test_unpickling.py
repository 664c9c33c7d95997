"""Reading a file calls nothing that computes, downloads or allocates."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from consumer.errors import ModelError
from consumer.vision.detect.checkpoint import load_checkpoint
from consumer.vision.detect.no_telemetry import import_tasks
from tests.unit.vision.networks import network

tasks = import_tasks()
from ultralytics.nn.modules.block import TorchVision  # noqa: E402 - after import_tasks


class Call:
    """Calls ``layer`` with arguments of its choice when it is unpickled."""

    def __init__(self, layer: type[nn.Module], *arguments: Any) -> None:
        self.reduced = (layer, arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


@pytest.mark.parametrize("key", ["model", "train_args"])
@pytest.mark.parametrize(
    "call",
    [
        Call(nn.Linear, 8000, 8000),
        Call(tasks.OBBModel, "https://plates.invalid/evil.yaml"),
        Call(TorchVision, "resnet18", "DEFAULT"),
    ],
    ids=["memory", "network", "weights"],
)
def test_no_constructor_of_a_layer_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str, call: Call
) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"model": None, key: [call]}, path)
    called = []
    layer = call.reduced[0]
    monkeypatch.setattr(layer, "__init__", lambda *arguments, **_options: called.append(arguments))
    with pytest.raises(ModelError, match=r"evil\.pt"):
        load_checkpoint(path)
    assert called == []


def test_no_code_of_a_layer_receives_its_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"model": network("Detect")}, tmp_path / "stock.pt")
    called = []
    monkeypatch.setattr(nn.Module, "__setstate__", lambda *_arguments: called.append(1))
    assert load_checkpoint(tmp_path / "stock.pt").head == "Detect"
    assert called == []


@pytest.mark.parametrize(
    "name", ["ultralytics.nn.modules.nothing.Conv", "torch.nn.modules.linear.Nothing",
             "torch.nn.modules.utils._pair", "torch.nn.modules.linear.math"],
)  # fmt: skip
def test_the_error_names_what_is_no_layer(tmp_path: Path, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    path = tmp_path / "mine.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mine/data.pkl", b"\x80\x02c" + f"{module}\n{attribute}\n.".encode())
        archive.writestr("mine/version", "3\n")
    with pytest.raises(ModelError, match=f"refers to {name}") as caught:
        load_checkpoint(path)
    assert "mine.pt" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_network_that_contains_itself_is_refused(tmp_path: Path) -> None:
    model = network("Detect")
    model.model[0].register_module("itself", model)
    torch.save({"model": model}, tmp_path / "mine.pt")
    with pytest.raises(ModelError, match=r"mine\.pt"):
        load_checkpoint(tmp_path / "mine.pt")
