"""Train a network that judges candidates, for one of ``crop.REACHES``.

python -m models.corners.train_verdict DATASET --candidates FILE --reach 5 \\
    --detector models/plate-obb.pt --output verdict-5.pt --steps N
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from consumer.vision.corners.crop import REACHES
from models.corners.loop import make_parser, numbers, prepare, train
from models.corners.verdict import VerdictNetwork
from models.corners.verdict_samples import (
    VerdictBatch,
    VerdictMix,
    VerdictSampler,
)
from models.training.optimizer import make_optimizer

_FROZEN = 2  # layers of the detector that stay as they are: they find edges
_DECAY = 5e-2
_AVERAGE = 0.995
_DOUBT = 0.01  # the highest and lowest chance that is learnt


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    parser = make_parser("Train a network for verdicts.", rate=3e-4)
    parser.add_argument("--reach", type=float, choices=REACHES, required=True)
    parser.add_argument("--detector", type=Path, required=True, help="start from this checkpoint")
    args = parser.parse_args(argv)
    places = prepare(args)
    network: Any = VerdictNetwork(args.detector)
    if args.start:
        network.load_state_dict(torch.load(args.start, weights_only=True))
    network.to(memory_format=torch.channels_last).train()
    for layer in network.layers[:_FROZEN]:
        layer.eval().requires_grad_(False)  # noqa: FBT003 - torch's own signature

    def losses(batch: VerdictBatch) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(numbers(batch.images))
        wanted = batch.plate * (1 - 2 * _DOUBT) + _DOUBT
        return nn.functional.binary_cross_entropy_with_logits(logits, wanted)[None]

    optimizer = make_optimizer(network, args.rate, decay=_DECAY)
    sampler = VerdictSampler(places, VerdictMix(), args.reach, args.seed)
    train(args, network, optimizer, sampler, losses, gains={"plate": 1.0}, average=_AVERAGE)


if __name__ == "__main__":
    main()
