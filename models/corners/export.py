"""Write the corner network for OpenVINO.

python -m models.corners.export corners.pt --output models/plate-corners.xml
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from consumer.vision.corners.crop import HEIGHT, WIDTH
from consumer.vision.corners.model import FORMAT
from consumer.vision.detect.backends.exported import KEY
from consumer.vision.detect.no_telemetry import import_openvino
from models.corners.network import CornerNetwork


class _BytesToNumbers(nn.Module):
    """From uint8 (N, h, w, 3) to float (N, 13): see ``consumer.vision.corners.model``."""

    def __init__(self, network: CornerNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        plate, corners, log_error = self.network(images.permute(0, 3, 1, 2).float() / 255)
        return torch.cat((plate[:, None], corners.flatten(1), log_error), 1)


def export(checkpoint: Path, output: Path) -> None:
    """Write the weights ``checkpoint`` as the OpenVINO file ``output`` and its ``.bin``."""
    network = CornerNetwork()
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    openvino = import_openvino()
    shape = openvino.PartialShape([-1, HEIGHT, WIDTH, 3])
    example = torch.zeros((2, HEIGHT, WIDTH, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracers warn of every computed shape
        model = openvino.convert_model(
            _BytesToNumbers(network.eval()).eval(), example_input=example, input=[shape]
        )
    model.set_rt_info(FORMAT, KEY)
    openvino.save_model(model, output, compress_to_fp16=True)


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Write the corner network for OpenVINO.")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    export(args.checkpoint, args.output)


if __name__ == "__main__":
    main()
