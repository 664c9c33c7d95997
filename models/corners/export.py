"""Calibrate the corner network, and write it for OpenVINO.

    python -m models.corners.export DATASET corners.pt --candidates val.json \\
        --output models/plate-corners.xml

The candidates are those of ``--split``; every second image of it is used, since on the images that
the detector was trained with its scores are too high. The score of a candidate is the detector's
odds times a likelihood ratio; the network's logit, scaled and shifted, becomes the logarithm of
that ratio.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from consumer.vision.corners.crop import HEIGHT, WIDTH, crop_matrix, cut
from consumer.vision.corners.model import FORMAT
from consumer.vision.detect.backends.exported import KEY
from consumer.vision.detect.no_telemetry import import_openvino
from models.corners.network import CornerNetwork
from models.corners.photos import Place, labelled, photo, proposed
from models.dataset import Item, read_folder

Numbers = npt.NDArray[np.float64]
_BATCH = 64
_STEPS = 50
_PRIOR = 1.0  # strength of the prior, scale 1 and bias 0, in candidates


class Calibration(NamedTuple):
    """``scale`` and ``bias`` make the network's logit a logarithm of a likelihood ratio."""

    scale: float
    bias: float


def fit(detector: Numbers, network: Numbers, is_plate: npt.NDArray[np.bool_]) -> Calibration:
    """Return the calibration that makes the candidates' labels most probable.

    ``detector``, ``network`` (N,): logits of the detector and of the corner network.
    """
    inputs = np.stack((network, np.ones_like(network)), 1)
    weights, prior = np.array([1.0, 0.0]), np.array([1.0, 0.0])
    for _ in range(_STEPS):  # Newton's method; the problem is convex
        odds = detector + inputs @ weights
        chance = 1 / (1 + np.exp(-odds.clip(-50, 50)))
        gradient = inputs.T @ (chance - is_plate) + _PRIOR * (weights - prior)
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs + _PRIOR * np.eye(2)
        weights = weights - np.linalg.solve(curvature, gradient)
    return Calibration(float(weights[0]), float(weights[1]))


def logits_of(network: CornerNetwork, places: Sequence[Place]) -> Numbers:
    """Return the network's logits (N,) that places show a plate."""
    found: list[float] = []
    for start in range(0, len(places), _BATCH):
        crops = [
            cut(photo(place.image), crop_matrix(place.quad))
            for place in places[start : start + _BATCH]
        ]
        images = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            found += network(images).plate.tolist()
    return np.array(found)


def calibrate(network: CornerNetwork, items: Sequence[Item], candidates: Path) -> Calibration:
    """Return the calibration by the detector's candidates on images."""
    places = proposed(items, json.loads(candidates.read_text()), labelled(items, {}))
    scores = np.array([place.score for place in places]).clip(1e-6, 1 - 1e-6)
    is_plate = np.array([place.plate for place in places])
    found = fit(np.log(scores / (1 - scores)), logits_of(network, places), is_plate)
    print(f"{is_plate.sum()} plates and {(~is_plate).sum()} others: {found}")
    return found


class _BytesToNumbers(nn.Module):
    """From uint8 (N, h, w, 3) to float (N, 13): see ``consumer.vision.corners.model``."""

    def __init__(self, network: CornerNetwork, calibration: Calibration) -> None:
        super().__init__()
        self.network, self.calibration = network, calibration

    def forward(self, images: Tensor) -> Tensor:
        plate, corners, log_error = self.network(images.permute(0, 3, 1, 2).float() / 255)
        log_ratio = plate[:, None] * self.calibration.scale + self.calibration.bias
        return torch.cat((log_ratio, corners.flatten(1), log_error), 1)


def write(network: CornerNetwork, calibration: Calibration, output: Path) -> None:
    """Write a network as the OpenVINO file ``output`` and its ``.bin``."""
    openvino = import_openvino()
    shape = openvino.PartialShape([-1, HEIGHT, WIDTH, 3])
    example = torch.zeros((2, HEIGHT, WIDTH, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracers warn of every computed shape
        model: Any = openvino.convert_model(
            _BytesToNumbers(network, calibration).eval(), example_input=example, input=[shape]
        )
    model.set_rt_info(FORMAT, KEY)
    openvino.save_model(model, output)  # weights in half precision


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Write the corner network for OpenVINO.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--candidates", type=Path, required=True)
    parser.add_argument("--split", default="val", help="of the candidates")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    network = CornerNetwork()
    network.load_state_dict(torch.load(args.checkpoint, weights_only=True))
    network.eval()
    items = read_folder(args.dataset, args.split)[::2]
    write(network, calibrate(network, items, args.candidates), args.output)


if __name__ == "__main__":
    main()
