"""Train the second stage: whether a candidate is a plate, and its corners.

python -m models.corners.train DATASET --candidates FILE --output corners.pt --steps N
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from models.corners.network import CornerNetwork, Output
from models.corners.photos import DEFAULT_CORNERS, labelled, proposed, read_corners
from models.corners.samples import Batch, CropMix, CropSampler
from models.dataset import DEFAULT_FIXES, apply_fixes, read_folder
from models.training.optimizer import Average, make_optimizer, set_rate

LOG_EVERY, SAVE_EVERY = 50, 500
_GAINS = {"plate": 1.0, "corners": 4.0, "error": 0.3}


def losses(output: Output, batch: Batch) -> Tensor:
    """Return the losses plate, corners and error of a batch (3,).

    The corners' distances are divided by the plate's height, since the margins of a cover are.
    """
    plate = nn.functional.binary_cross_entropy_with_logits(output.plate, batch.plate)
    weight = batch.exact / batch.exact.sum().clamp(min=1)
    sides = (batch.corners - batch.corners.roll(1, 1)).norm(dim=2)
    height = torch.minimum(sides[:, 0] + sides[:, 2], sides[:, 1] + sides[:, 3]) / 2
    distance = (output.corners - batch.corners).norm(dim=2)
    relative = distance / height.clamp(min=8)[:, None]
    corners = (
        nn.functional.smooth_l1_loss(
            relative, torch.zeros_like(relative), beta=0.02, reduction="none"
        ).mean(1)
        * weight
    ).sum()
    # The likelihood of a Laplace distribution; the distance itself is trained above.
    log_error = output.log_error.clamp(-4, 5)
    error = ((distance.detach() * torch.exp(-log_error) + log_error).mean(1) * weight).sum()
    return torch.stack((plate, corners, error))


class _Crops(IterableDataset[Batch]):
    def __init__(self, sampler: CropSampler, start: int, count: int) -> None:
        self.sampler, self.start, self.count = sampler, start, count

    def __iter__(self) -> Iterator[Batch]:
        info = torch.utils.data.get_worker_info()
        number, of = (info.id, info.num_workers) if info else (0, 1)
        cv2.setNumThreads(1)
        step = self.start + number
        while True:
            yield self.sampler.batch(step, self.count)
            step += of


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description="Train the second stage.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--candidates", type=Path, required=True)
    parser.add_argument("--corners", type=Path, default=DEFAULT_CORNERS)
    parser.add_argument("--start", type=Path, help="continue from these weights")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--loaders", type=int, default=1, help="processes that make crops")
    return parser.parse_args(argv)


def read_sampler(args: argparse.Namespace) -> CropSampler:
    """Return what makes the crops, from the images that are trained on."""
    items = apply_fixes(read_folder(args.dataset, "train"), DEFAULT_FIXES)
    labels = labelled(items, read_corners(args.corners))
    found = proposed(items, json.loads(args.candidates.read_text()), labels)
    sampler = CropSampler(labels + found, CropMix(), args.seed)
    counts = len(sampler.plates), len(sampler.exact), len(sampler.negatives)
    print("{} plates, {} of them exact, {} negatives".format(*counts), flush=True)
    return sampler


class Progress:
    """Prints the losses, and keeps them as a curve."""

    def __init__(self, steps: int) -> None:
        self.curve: list[dict[str, float]] = []
        self._recent: list[Tensor] = []
        self._steps, self._started = steps, time.monotonic()

    def add(self, step: int, loss: Tensor) -> None:
        """Note the losses (3,) of a step."""
        self._recent.append(loss.detach())
        if step % LOG_EVERY:
            return
        means = dict(zip(_GAINS, torch.stack(self._recent).mean(0).tolist(), strict=True))
        self._recent.clear()
        seconds = time.monotonic() - self._started
        self.curve.append({"step": step, "seconds": round(seconds), **means})
        values = "  ".join(f"{name} {value:.4f}" for name, value in means.items())
        left = seconds / step * (self._steps - step) / 60
        print(f"step {step}  {values}  {left:.0f} min left", flush=True)


def train(args: argparse.Namespace, network: CornerNetwork, loader: DataLoader[Batch]) -> None:
    """Train ``network``; write the average of its weights to ``args.output`` now and then."""
    optimizer = make_optimizer(network, args.rate, decay=1e-2)
    average, progress = Average(network, 0.998), Progress(args.steps)
    gains = torch.tensor(list(_GAINS.values()))
    network.train()
    for step, batch in zip(range(1, args.steps + 1), loader, strict=False):
        set_rate(optimizer, (step - 1) / args.steps)
        images = (batch.images.float() / 255).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            output = network(images)
        loss = losses(output, batch)
        optimizer.zero_grad(set_to_none=True)
        total: Any = (loss * gains).sum()
        total.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        average.update(network)
        progress.add(step, loss)
        if step % SAVE_EVERY == 0 or step == args.steps:
            draft = args.output.with_suffix(".tmp")
            torch.save(average.network.state_dict(), draft)
            draft.replace(args.output)
            report = {"steps": step, "curve": progress.curve}
            args.output.with_suffix(".json").write_text(json.dumps(report))


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    torch.manual_seed(args.seed)
    crops = _Crops(read_sampler(args), 0, args.batch)
    network: Any = CornerNetwork()
    network.to(memory_format=torch.channels_last)
    if args.start:
        network.load_state_dict(torch.load(args.start, weights_only=True))
    loader = DataLoader(crops, batch_size=None, num_workers=args.loaders, prefetch_factor=4)
    train(args, network, loader)


if __name__ == "__main__":
    main()
