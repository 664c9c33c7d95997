"""Train the second stage: whether a candidate is a plate, and its corners.

python -m models.corners.train DATASET --candidates FILE --output corners.pt --steps N
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.corners.loop import make_parser, numbers, prepare, train
from models.corners.network import CornerNetwork, Output
from models.corners.samples import Batch, CropMix, CropSampler
from models.training.optimizer import make_optimizer

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


def main(argv: list[str] | None = None) -> None:
    """Command line of this module."""
    parser = make_parser("Train the second stage's corner network.", rate=2e-3)
    args = parser.parse_args(argv)
    sampler = CropSampler(prepare(args), CropMix(), args.seed)
    network: Any = CornerNetwork()
    network.to(memory_format=torch.channels_last)
    if args.start:
        network.load_state_dict(torch.load(args.start, weights_only=True))
    network.train()

    def loss_of(batch: Batch) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            output = network(numbers(batch.images))
        return losses(output, batch)

    optimizer = make_optimizer(network, args.rate, decay=1e-2)
    train(args, network, optimizer, sampler, loss_of, gains=_GAINS, average=0.998)


if __name__ == "__main__":
    main()
