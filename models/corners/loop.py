"""The training loop of both networks of the second stage, and its part of the command line."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import cv2
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from models.corners.photos import DEFAULT_CORNERS, Place, labelled, proposed, read_corners
from models.dataset import DEFAULT_FIXES, apply_fixes, read_folder
from models.training.optimizer import Average, set_rate

LOG_EVERY, SAVE_EVERY = 50, 500
B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)


class Sampler(Protocol[B_co]):
    """Makes batches; the same step gives the same batch."""

    def batch(self, step: int, count: int) -> B_co:
        """Return the batch of a step."""


class _Batches(IterableDataset[B]):
    def __init__(self, sampler: Sampler[B], count: int) -> None:
        self.sampler, self.count = sampler, count

    def __iter__(self) -> Iterator[B]:
        info = torch.utils.data.get_worker_info()
        step, of = (info.id, info.num_workers) if info else (0, 1)
        cv2.setNumThreads(1)
        while True:
            yield self.sampler.batch(step, self.count)
            step += of


def make_parser(description: str, rate: float) -> argparse.ArgumentParser:
    """Return a parser of the arguments that both trainings have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--drawn", type=Path, help="folder of models.streets to train with, too")
    parser.add_argument("--candidates", type=Path, nargs="+", required=True)
    parser.add_argument("--corners", type=Path, default=DEFAULT_CORNERS)
    parser.add_argument("--start", type=Path, help="continue from these weights")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--loaders", type=int, default=1, help="processes that make crops")
    return parser


def prepare(args: argparse.Namespace) -> list[Place]:
    """Set up torch and OpenCV; return the labelled and proposed places that are trained on."""
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(args.seed)
    items = apply_fixes(read_folder(args.dataset, "train"), DEFAULT_FIXES)
    if args.drawn:
        items += read_folder(args.drawn, "train")
    labels = labelled(items, read_corners(args.corners))
    candidates: dict[str, list[list[float]]] = {}
    for path in args.candidates:
        candidates |= json.loads(path.read_text())
    places = labels + proposed(items, candidates, labels)
    plates = sum(place.plate for place in places)
    print(f"{plates} plates, {len(places) - plates} places without one", flush=True)
    return places


class Progress:
    """Prints the losses, and keeps them as a curve."""

    def __init__(self, names: Sequence[str], steps: int) -> None:
        self.curve: list[dict[str, float]] = []
        self._recent: list[Tensor] = []
        self._names, self._steps, self._started = names, steps, time.monotonic()

    def add(self, step: int, loss: Tensor) -> None:
        """Note the losses (N,) of a step."""
        self._recent.append(loss.detach())
        if step % LOG_EVERY:
            return
        means = dict(zip(self._names, torch.stack(self._recent).mean(0).tolist(), strict=True))
        self._recent.clear()
        seconds = time.monotonic() - self._started
        self.curve.append({"step": step, "seconds": round(seconds), **means})
        values = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
        left = seconds / step * (self._steps - step) / 60
        print(f"step {step}  {values}  {left:.0f} min left", flush=True)


def train(
    args: argparse.Namespace,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    sampler: Sampler[B],
    losses: Callable[[B], Tensor],
    *,
    gains: dict[str, float],
    average: float,
) -> None:
    """Train ``network``; write the average of its weights to ``args.output`` now and then.

    ``losses``: returns the losses of a batch (N,), named and weighted by ``gains``. ``average``:
    the decay of the average. The network is in the mode that its caller chose.
    """
    loader = DataLoader(
        _Batches(sampler, args.batch), batch_size=None, num_workers=args.loaders,
        prefetch_factor=4,
    )  # fmt: skip
    weights, progress = Average(network, average), Progress(tuple(gains), args.steps)
    factors = torch.tensor(list(gains.values()))
    for step, batch in zip(range(1, args.steps + 1), loader, strict=False):
        set_rate(optimizer, (step - 1) / args.steps)
        loss = losses(batch)
        optimizer.zero_grad(set_to_none=True)
        total: Any = (loss * factors).sum()
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        weights.update(network)
        progress.add(step, loss)
        if step % SAVE_EVERY == 0 or step == args.steps:
            draft = args.output.with_suffix(".tmp")
            torch.save(weights.network.state_dict(), draft)
            draft.replace(args.output)
            report = {"steps": step, "curve": progress.curve}
            args.output.with_suffix(".json").write_text(json.dumps(report))


def numbers(images: Tensor) -> Tensor:
    """Return images uint8 (B, 3, H, W) as numbers of 0 to 1, in the order that is fastest."""
    return (images.float() / 255).contiguous(memory_format=torch.channels_last)
