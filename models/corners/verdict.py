"""The network that judges a candidate: is there a plate in the middle of a crop?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from consumer.vision.detect.checkpoint import build_network, load_checkpoint

_MIDDLE, _LAST = 6, 8
"""Layers of the detector whose output is used: at 1/16 and 1/32 of the crop's size."""


class VerdictNetwork(nn.Module):
    """Input float (B, 3, HEIGHT, VERDICT_WIDTH) 0 to 1; output: logits (B,) of a plate.

    Its layers are the first nine of the detector and start from the detector's weights: with some
    thousand photographs, a network that starts from random weights learns them by heart.
    """

    def __init__(self, detector: Path) -> None:
        """Take the layers of a checkpoint. Raises ModelError as ``load_checkpoint``."""
        super().__init__()
        network: Any = build_network(load_checkpoint(detector))
        self.layers = nn.ModuleList(list(network.model)[: _LAST + 1])
        for parameter in self.parameters():
            parameter.requires_grad = True
        self.verdict = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(256 * 2 + 128, 64), nn.SiLU(), nn.Dropout(0.2),
            nn.Linear(64, 1),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        planes, middle = images, images
        for number, layer in enumerate(self.layers):
            planes = layer(planes)
            if number == _MIDDLE:
                middle = planes[:, :, 2:4, 3:5].mean((2, 3))
        numbers = torch.cat((planes.mean((2, 3)), planes.amax((2, 3)), middle), 1)
        logits: Tensor = self.verdict(numbers.float())[:, 0]
        return logits
