"""Optimiser, schedule and weight averaging of the training."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn


def freeze_stem(network: Any, layers: int) -> None:
    """Keep the first layers unchanged: they detect edges, and cost the most to train.

    Their batch statistics are kept too, so call it again after every ``network.train()``.
    """
    for layer in list(network.model)[:layers]:
        layer.eval()
        for parameter in layer.parameters():
            parameter.requires_grad = False


def make_optimizer(
    network: nn.Module, rate: float, decay: float = 5e-4, angle_factor: float = 4.0
) -> torch.optim.Optimizer:
    """Return AdamW without decay on biases and norms, with a higher rate for the angle branch."""
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            key = (".cv4." in name, parameter.ndim > 1)
            groups.setdefault(key, []).append(parameter)
    settings = [
        {
            "params": parameters,
            "lr": rate * (angle_factor if angle else 1.0),
            "weight_decay": decay if matrix else 0.0,
        }
        for (angle, matrix), parameters in sorted(groups.items())
    ]
    optimizer = torch.optim.AdamW(settings, betas=(0.9, 0.999))
    for group in optimizer.param_groups:
        group["top_lr"] = group["lr"]
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, progress: float, warmup: float = 0.03) -> float:
    """Set the learning rates for a progress of 0..1: linear warm-up, then a cosine to zero.

    Return the factor applied to the top rates.
    """
    progress = min(1.0, max(0.0, progress))
    rise = min(1.0, (progress + 1e-3) / warmup)
    factor = rise * 0.5 * (1 + math.cos(math.pi * progress))
    for group in optimizer.param_groups:
        group["lr"] = group["top_lr"] * factor
    return factor


class Average:
    """Exponential moving average of a network's weights; the average is what is saved."""

    def __init__(self, network: nn.Module, decay: float = 0.998) -> None:
        self.network = copy.deepcopy(network).eval()
        self.decay, self.updates = decay, 0
        for tensor in self.network.parameters():
            tensor.requires_grad = False

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average towards ``network``, faster in the first updates."""
        self.updates += 1
        decay = min(self.decay, self.updates / (self.updates + 10))
        mine, theirs = self.network.state_dict(), network.state_dict()
        for name, value in mine.items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1 - decay)
            else:
                value.copy_(theirs[name])
