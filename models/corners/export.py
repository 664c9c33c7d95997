"""Join and calibrate the networks of the second stage, and write them for OpenVINO.

    python -m models.corners.export DATASET corners.pt verdict-2.pt verdict-5.pt \\
        --detector models/plate-obb.pt --candidates val.json --output models/plate-corners.xml

The candidates are those of ``--split``; every second image of it is used, since on the images that
the detector was trained with its scores are too high. The score of a candidate is the detector's
odds times a likelihood ratio; the logits of the verdict networks, scaled, added and shifted, become
the logarithm of that ratio.
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

from consumer.vision.corners.crop import (
    HEIGHT,
    INPUT_WIDTH,
    REACHES,
    VERDICT_WIDTH,
    WIDTH,
    network_input,
)
from consumer.vision.corners.model import FORMAT
from consumer.vision.detect.backends.exported import KEY
from consumer.vision.detect.no_telemetry import import_openvino
from consumer.vision.finding import CANDIDATE_SCORE
from consumer.vision.image.scaling import Pyramid
from models.corners.network import CornerNetwork, Output
from models.corners.photos import Place, labelled, photo, proposed
from models.corners.verdict import VerdictNetwork
from models.dataset import Item, read_folder

Numbers = npt.NDArray[np.float64]
_BATCH = 64
_STEPS = 50
_PRIOR = 1.0  # strength of the prior, scale 1 and bias 0, in candidates


class Calibration(NamedTuple):
    """``scales``, one of each network, and ``bias`` make logits a logarithm of a ratio."""

    scales: tuple[float, ...]
    bias: float


def fit(detector: Numbers, networks: Numbers, is_plate: npt.NDArray[np.bool_]) -> Calibration:
    """Return the calibration that makes the candidates' labels most probable.

    ``detector`` (N,), ``networks`` (N, M): logits of the detector and of M networks.
    """
    many = networks.shape[1]
    inputs = np.hstack((networks, np.ones((len(networks), 1))))
    prior = np.array([1 / many] * many + [0.0])
    weights = prior.copy()
    for _ in range(_STEPS):  # Newton's method; the problem is convex
        odds = detector + inputs @ weights
        chance = 1 / (1 + np.exp(-odds.clip(-50, 50)))
        gradient = inputs.T @ (chance - is_plate) + _PRIOR * (weights - prior)
        curvature = (inputs * (chance * (1 - chance))[:, None]).T @ inputs
        weights = weights - np.linalg.solve(curvature + _PRIOR * np.eye(many + 1), gradient)
    return Calibration(tuple(weights[:-1].tolist()), float(weights[-1]))


class SecondStage(nn.Module):
    """All networks. Input uint8 (B, HEIGHT, INPUT_WIDTH, 3): see ``crop.network_input``."""

    def __init__(self, corners: CornerNetwork, verdicts: Sequence[VerdictNetwork]) -> None:
        super().__init__()
        self.corners, self.verdicts = corners, nn.ModuleList(verdicts)
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Output]:
        """Return the verdicts' logits (B, M), and what the corner network returns."""
        planes = images.permute(0, 3, 1, 2).float() / 255
        widths = [WIDTH] + [VERDICT_WIDTH] * len(self.verdicts)
        close, *others = torch.split(planes, widths, 3)
        logits = [judge(crop) for judge, crop in zip(self.verdicts, others, strict=True)]
        return torch.stack(logits, 1), self.corners(close)


def logits_of(network: SecondStage, places: Sequence[Place]) -> Numbers:
    """Return the verdicts' logits (N, M) that places show a plate."""
    found = []
    for start in range(0, len(places), _BATCH):
        inputs = [
            network_input(Pyramid(photo(place.image)), place.quad)
            for place in places[start : start + _BATCH]
        ]
        with torch.inference_mode():
            found.append(network(torch.from_numpy(np.stack(inputs)))[0].double().numpy())
    return np.concatenate(found)


def calibrate(network: SecondStage, items: Sequence[Item], candidates: Path) -> Calibration:
    """Return the calibration by the detector's candidates on images."""
    places = proposed(items, json.loads(candidates.read_text()), labelled(items, {}))
    places = [place for place in places if place.score >= CANDIDATE_SCORE]
    scores = np.array([place.score for place in places]).clip(1e-6, 1 - 1e-6)
    is_plate = np.array([place.plate for place in places])
    found = fit(np.log(scores / (1 - scores)), logits_of(network, places), is_plate)
    print(f"{is_plate.sum()} plates and {(~is_plate).sum()} others: {found}")
    return found


class _Calibrated(nn.Module):
    """From uint8 (N, h, w, 3) to float (N, 13): see ``consumer.vision.corners.model``."""

    def __init__(self, network: SecondStage, calibration: Calibration) -> None:
        super().__init__()
        self.network, self.bias = network, calibration.bias
        self.register_buffer("scales", torch.tensor(calibration.scales))
        self.scales: Tensor

    def forward(self, images: Tensor) -> Tensor:
        logits, output = self.network(images)
        log_ratio = logits @ self.scales + self.bias
        return torch.cat((log_ratio[:, None], output.corners.flatten(1), output.log_error), 1)


def write(network: SecondStage, calibration: Calibration, output: Path) -> None:
    """Write the networks as the OpenVINO file ``output`` and its ``.bin``."""
    openvino = import_openvino()
    shape = openvino.PartialShape([-1, HEIGHT, INPUT_WIDTH, 3])
    example = torch.zeros((2, HEIGHT, INPUT_WIDTH, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracers warn of every computed shape
        model: Any = openvino.convert_model(
            _Calibrated(network, calibration).eval(), example_input=example, input=[shape]
        )
    model.set_rt_info(FORMAT, KEY)
    openvino.save_model(model, output)  # weights in half precision


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Write the second stage for OpenVINO.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("corners", type=Path, help="weights of models.corners.train")
    parser.add_argument(
        "verdicts", type=Path, nargs=len(REACHES), help="of models.corners.train_verdict, by reach"
    )
    parser.add_argument(
        "--detector", type=Path, required=True, help="from which the latter started"
    )
    parser.add_argument("--candidates", type=Path, required=True)
    parser.add_argument("--split", default="val", help="of the candidates")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    corners, verdicts = CornerNetwork(), [VerdictNetwork(args.detector) for _ in args.verdicts]
    for module, path in zip((corners, *verdicts), (args.corners, *args.verdicts), strict=True):
        module.load_state_dict(torch.load(path, weights_only=True))
    network = SecondStage(corners, verdicts)
    items = read_folder(args.dataset, args.split)[::2]
    write(network, calibrate(network, items, args.candidates), args.output)


if __name__ == "__main__":
    main()
