"""Write the detector's candidates on the training images, from which the second stage learns.

python -m models.corners.candidates DATASET --checkpoint FILE --out candidates.json
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from consumer.vision.detect.detector import load_detector
from consumer.vision.detect.obb import Detections
from consumer.vision.finding import FindOptions, find_plates
from consumer.vision.networks import Networks
from consumer.vision.steps import run_steps
from models.dataset import Item, read_folder, read_image

LOWEST = 0.02
LOWEST_WITHOUT_PLATES = 0.003
_SIZES_WITHOUT_PLATES = (640, 960, 1280)
_MOST_WITHOUT_PLATES = 8


def candidates(networks: Networks, item: Item) -> list[list[float]]:
    """Return rows of a score and four corners in px: what the second stage gets to examine."""
    found = run_steps(
        find_plates(read_image(item.image), FindOptions(640, "auto", corners=False)), networks.run
    ).plates
    return _rows(found[found.scores >= LOWEST])


def wrong_candidates(networks: Networks, item: Item) -> list[list[float]]:
    """Return as many candidates as possible on an image without plates, as ``candidates`` does.

    It is examined at several sizes too: the detector was trained with these images, so at its own
    size it proposes much less on them than on others.
    """
    rgb, rows = read_image(item.image), []
    for size in _SIZES_WITHOUT_PLATES:
        found = run_steps(find_plates(rgb, FindOptions(size, "off", corners=False)), networks.run)
        rows += _rows(found.plates)[:_MOST_WITHOUT_PLATES]
    return rows


def _examined(networks: Networks, item: Item, split: str) -> list[list[float]]:
    # Calibration, on val, needs candidates as the worker has them.
    find = wrong_candidates if split == "train" and not len(item.quads) else candidates
    return find(networks, item)


def _rows(found: Detections) -> list[list[float]]:
    return [
        [round(float(score), 4), *np.round(quad.ravel(), 2).tolist()]
        for score, quad in zip(found.scores, found.quads, strict=True)
    ]


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Write the detector's candidates.")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="train")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    detector = load_detector(
        args.checkpoint, device="cpu", confidence=LOWEST_WITHOUT_PLATES, max_batch=1,
        precision="auto", threads=1, passes=args.threads,
    )  # fmt: skip
    networks = Networks(detector)
    items = read_folder(args.dataset, args.split)
    with ThreadPoolExecutor(args.threads) as pool:
        rows = list(pool.map(lambda item: _examined(networks, item, args.split), items))
    args.out.write_text(
        json.dumps({i.image.stem: r for i, r in zip(items, rows, strict=True) if r})
    )
    print(f"{sum(map(len, rows))} candidates on {len(items)} images")


if __name__ == "__main__":
    main()
