"""Train the plate detector on a YOLO-OBB folder and on drawn plates.

    python -m models.train DATASET --start BOOTSTRAP --work FOLDER --output FILE
        --steps N

Starts from the checkpoint of models.bootstrap, or continues from FOLDER/state.pt if that exists.
Writes a checkpoint and a report (JSON) regularly, so that a run can be stopped at any time.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import torch

from consumer.vision.detect.checkpoint import (
    Checkpoint,
    build_network,
    load_checkpoint,
    save_checkpoint,
)
from models.dataset import DEFAULT_FIXES, apply_fixes, read_folder
from models.training.batches import Batch, Mix, Sampler
from models.training.losses import GAINS, PlateLoss
from models.training.network import NAMES
from models.training.optimizer import Average, freeze_stem, make_optimizer, set_rate

LOG_EVERY = 20
ACTIVATIONS = ("Hardswish", "SiLU")


@dataclass(frozen=True)
class TrainingPlan:
    """Parameters of a run; they are part of the report."""

    batch: int = 16
    sizes: tuple[int, ...] = (384, 448, 512)
    rate: float = 5e-4
    freeze: int = 3
    steps: int = 0
    seed: int = 0
    bfloat16: bool = False
    activation: str | None = None


class Trainer:
    """A training run: network, average, optimiser and progress."""

    def __init__(self, plan: TrainingPlan, start: Path, work: Path) -> None:
        self.plan, self.work = plan, work
        torch.manual_seed(plan.seed)
        network: Any = build_network(_with_activation(load_checkpoint(start), plan.activation))
        self.network = network
        for parameter in network.parameters():
            parameter.requires_grad = True
        network.model[-1].dfl.requires_grad_(requires_grad=False)
        network.to(memory_format=torch.channels_last)
        freeze_stem(self.network, plan.freeze)
        self.loss = PlateLoss(self.network)
        self.optimizer = make_optimizer(self.network, plan.rate)
        self.average = Average(self.network)
        self.step, self.seconds = 0, 0.0
        self.curve: list[dict[str, float]] = []
        self.recent: list[torch.Tensor] = []

    def resume(self) -> None:
        """Continue from the state in the working folder, if there is one."""
        path = self.work / "state.pt"
        if not path.is_file():
            return
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.average.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds, self.curve = state["step"], state["seconds"], state["curve"]
        print(f"continuing after step {self.step}", flush=True)

    def save(self, output: Path, source: str) -> None:
        """Write state, checkpoint and report; state and checkpoint are replaced by a rename."""
        state = {
            "network": self.network.state_dict(),
            "step": self.step,
            "average": self.average.network.state_dict(),
            "updates": self.average.updates,
            "optimizer": self.optimizer.state_dict(),
            "seconds": self.seconds,
            "curve": self.curve,
        }
        torch.save(state, self.work / "state.tmp")
        (self.work / "state.tmp").replace(self.work / "state.pt")
        temporary = output.with_suffix(".tmp")
        save_checkpoint(self.average.network, temporary, names=NAMES, source=source)
        temporary.replace(output)
        report = {
            "plan": asdict(self.plan),
            "gains": GAINS,
            "step": self.step,
            "seconds": round(self.seconds),
            "curve": self.curve,
        }
        output.with_suffix(".json").write_text(json.dumps(report, indent=1))

    def progress(self) -> float:
        """Return how much of the run is done, 0..1."""
        return self.step / self.plan.steps

    def train_step(self, batch: Batch) -> None:
        """Make one optimiser step."""
        self.network.train()
        freeze_stem(self.network, self.plan.freeze)
        set_rate(self.optimizer, self.progress())
        with torch.autocast("cpu", torch.bfloat16, enabled=self.plan.bfloat16):
            predictions = self.network(batch.images)
        losses = self.loss(predictions, batch.boxes, batch.exact, batch.image)
        self.optimizer.zero_grad(set_to_none=True)
        total: Any = losses.sum()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 10.0)
        self.optimizer.step()
        self.average.update(self.network)
        self.step += 1
        self.recent.append(losses.detach())

    def log(self) -> None:
        """Print and record the mean losses since the last line."""
        means = torch.stack(self.recent).mean(0).tolist()
        self.recent.clear()
        line = dict(zip(GAINS, (round(m, 4) for m in means), strict=True))
        self.curve.append({"step": self.step, "seconds": round(self.seconds), **line})
        share = min(1.0, self.progress())
        left = self.seconds * (1 - share) / max(share, 1e-6) / 60
        values = "  ".join(f"{name} {value:.3f}" for name, value in line.items())
        print(f"{share:6.1%}  step {self.step}  {values}  {left:.0f} min left", flush=True)


def _with_activation(checkpoint: Checkpoint, activation: str | None) -> Checkpoint:
    """Return the checkpoint with another function after its convolutions; None: its own."""
    if activation is None:
        return checkpoint
    return replace(checkpoint, yaml={**checkpoint.yaml, "activation": f"nn.{activation}()"})


def run(trainer: Trainer, sampler: Sampler, output: Path, source: str, save_seconds: float) -> None:
    """Train to the end of the plan."""
    plan = trainer.plan
    last, saved = time.monotonic(), time.monotonic()
    for batch in sampler.stream(trainer.step, plan.batch, plan.sizes):
        if trainer.progress() >= 1:
            break
        trainer.train_step(batch)
        now = time.monotonic()
        trainer.seconds += now - last
        last = now
        if trainer.step % LOG_EVERY == 0:
            trainer.log()
        if now - saved > save_seconds:
            trainer.save(output, source)
            saved = now
    trainer.save(output, source)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(description="Train the plate detector.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--start", type=Path, required=True, help="from models.bootstrap")
    parser.add_argument("--work", type=Path, required=True, help="folder for state and logs")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--fixes", type=Path, nargs="*", default=[DEFAULT_FIXES])
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--sizes", type=int, nargs="+", default=[384, 448, 512])
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--freeze", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument(
        "--activation",
        choices=ACTIVATIONS,
        help="Hardswish takes 0.6 times the time of SiLU on a CPU, for nearly the same function;"
        " default: as START",
    )
    parser.add_argument("--save-seconds", type=float, default=300)
    args = parser.parse_args(argv)
    if any(size % 32 for size in args.sizes):
        parser.error("sizes are multiples of 32")
    return args


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    plan = TrainingPlan(
        args.batch, tuple(args.sizes), args.rate, args.freeze, args.steps, args.seed,
        args.bfloat16, args.activation,
    )  # fmt: skip
    items = apply_fixes(read_folder(args.dataset, "train"), *args.fixes)
    trainer = Trainer(plan, args.start, args.work)
    trainer.resume()
    source = f"plate-detect training from {args.start.name}"
    run(trainer, Sampler(items, Mix(), args.seed), args.output, source, args.save_seconds)


if __name__ == "__main__":
    main()
