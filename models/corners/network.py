"""The network of the second stage: from a crop to whether it shows a plate, and its corners."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from consumer.vision.corners.crop import HEIGHT, WIDTH

CELL = 4
"""Pixels of the crop per cell of a heat map."""
ROWS, COLUMNS = HEIGHT // CELL, WIDTH // CELL


class Output(NamedTuple):
    """Output for B crops.

    ``plate`` (B,): logit that it is a plate. ``corners`` (B, 4, 2): in pixels of the crop.
    ``log_error`` (B, 4): logarithm of the expected distance of each corner from its true place.
    """

    plate: Tensor
    corners: Tensor
    log_error: Tensor


def _step(inputs: int, outputs: int, stride: int = 1, size: int = 3) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.SiLU())


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.steps = nn.Sequential(_step(channels, channels), _step(channels, channels))

    def forward(self, planes: Tensor) -> Tensor:
        result: Tensor = planes + self.steps(planes)
        return result


class CornerNetwork(nn.Module):
    """Input float (B, 3, HEIGHT, WIDTH) 0 to 1; 0.9 M parameters.

    Each corner is the mean of a heat map over the crop (soft-argmax; Nibali et al., Numerical
    Coordinate Regression with Convolutional Neural Networks, arXiv 1801.07372), so corners form any
    quad, and their places are finer than a cell.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(_step(3, 16, 2), _step(16, 32, 2), _Residual(32))
        self.middle = nn.Sequential(_step(32, 64, 2), _Residual(64), _Residual(64))
        self.coarse = nn.Sequential(_step(64, 128, 2), _Residual(128), _Residual(128))
        self.to_middle = _step(128, 64, size=1)
        self.mix_middle = _step(64, 64)
        self.to_fine = _step(64, 32, size=1)
        self.mix_fine = _step(32, 32)
        self.heat = nn.Conv2d(32, 4, 1)
        self.verdict = nn.Sequential(nn.Linear(256, 64), nn.SiLU(), nn.Linear(64, 5))
        x = (torch.arange(COLUMNS) + 0.5) * CELL
        y = (torch.arange(ROWS) + 0.5) * CELL
        places = torch.stack((x.repeat(ROWS), y.repeat_interleave(COLUMNS)), 1)
        self.register_buffer("places", places, persistent=False)
        self.places: Tensor

    def forward(self, images: Tensor) -> Output:
        fine = self.fine(images)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        whole = torch.cat((coarse.mean((2, 3)), coarse.amax((2, 3))), 1)
        numbers = self.verdict(whole).float()
        double = nn.functional.interpolate
        middle = self.mix_middle(middle + double(self.to_middle(coarse), scale_factor=2.0))
        fine = self.mix_fine(fine + double(self.to_fine(middle), scale_factor=2.0))
        heat = self.heat(fine).float().flatten(2).softmax(2)
        return Output(numbers[:, 0], heat @ self.places, numbers[:, 1:])
