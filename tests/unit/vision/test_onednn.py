"""Convolution and activation in one step: the same results, or the network as it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from consumer.vision.detect.backends import onednn, pytorch
from consumer.vision.detect.checkpoint import load_checkpoint
from consumer.vision.detect.detector import NetworkDetector, load_detector

CHECKPOINT = Path(__file__).parents[3] / "models" / "plate-obb.pt"
LAY_OUT = "_reorder_convolution_weight"


@pytest.fixture(scope="module")
def network() -> nn.Module:
    plain, _ = pytorch.raw_network(load_checkpoint(CHECKPOINT))
    return plain.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def noise(height: int, width: int, *, images: int = 1) -> Tensor:
    planes = torch.rand((images, 3, height, width), generator=torch.Generator().manual_seed(1))
    return planes.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("size", [(96, 128), (384, 640), (640, 448)])
@torch.inference_mode()
def test_results_are_the_same_at_any_size(network: nn.Module, size: tuple[int, int]) -> None:
    fewer = onednn.in_one_step(network, noise(384, 640))
    assert not any(isinstance(module, nn.SiLU) for module in fewer.modules())
    batch = noise(*size, images=2)
    torch.testing.assert_close(fewer(batch), network(batch), rtol=1e-3, atol=1e-3)
    assert any(isinstance(module, nn.SiLU) for module in network.modules()), "it was changed"


def test_the_detector_uses_it() -> None:
    detector = load_detector(CHECKPOINT, device="cpu", confidence=0.3, max_batch=1)
    assert isinstance(detector, NetworkDetector)
    forward = detector._network.forward
    assert isinstance(forward, pytorch._Forward)
    graph = str(forward.run.inlined_graph)
    assert graph.count("mkldnn::_convolution_pointwise") > 50
    assert "aten::silu" not in graph


def _missing(*_: Any) -> Tensor:
    raise AttributeError("no such operator")


def _refusing(*_: Any) -> Tensor:
    raise RuntimeError("this CPU cannot")


def _wrong(weight: Tensor, *_: Any) -> Tensor:
    return weight * 1.2


def _infinite(weight: Tensor, *_: Any) -> Tensor:
    return weight * float("nan")


@pytest.mark.parametrize("lay_out", [_missing, _refusing, _wrong, _infinite])
def test_the_plain_network_is_used_if_it_fails_or_differs(
    network: nn.Module, lay_out: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    getattr(torch.ops.mkldnn, LAY_OUT)  # creates the attribute, so that it can be restored
    monkeypatch.setattr(torch.ops.mkldnn, LAY_OUT, lay_out)
    assert onednn.in_one_step(network, noise(96, 128)) is network


@torch.inference_mode()
def test_convolutions_that_the_operator_cannot_do_stay() -> None:
    class Conv(nn.Module):
        def __init__(self, convolution: nn.Conv2d, act: nn.Module) -> None:
            super().__init__()
            self.conv, self.act = convolution, act

        def forward(self, planes: Tensor) -> Tensor:
            result: Tensor = self.act(self.conv(planes))
            return result

    plain = nn.Sequential(
        Conv(nn.Conv2d(3, 8, 3, padding="same"), nn.SiLU()),
        Conv(nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), nn.SiLU()),
        Conv(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.SiLU()),
        Conv(nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8), nn.SiLU()),
        Conv(nn.Conv2d(8, 8, 1), nn.ReLU()),
    ).eval()
    fewer = onednn.in_one_step(plain, noise(32, 48))
    kept = [isinstance(module, nn.SiLU) for module in fewer.modules()]
    assert sum(kept) == 2
    torch.testing.assert_close(fewer(noise(64, 64)), plain(noise(64, 64)))
