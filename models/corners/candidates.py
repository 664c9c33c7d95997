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
from consumer.vision.finding import FindOptions, find_plates
from consumer.vision.networks import Networks
from consumer.vision.steps import run_steps
from models.dataset import Item, read_folder, read_image

LOWEST = 0.05
_OPTIONS = FindOptions(640, "auto", corners=False)


def candidates(networks: Networks, item: Item) -> list[list[float]]:
    """Return rows of a score and four corners in px: what the second stage gets to examine."""
    found = run_steps(find_plates(read_image(item.image), _OPTIONS), networks.run).plates
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
        args.checkpoint, device="cpu", confidence=LOWEST, max_batch=1, precision="auto",
        threads=1, passes=args.threads,
    )  # fmt: skip
    networks = Networks(detector)
    items = read_folder(args.dataset, args.split)
    with ThreadPoolExecutor(args.threads) as pool:
        rows = list(pool.map(lambda item: candidates(networks, item), items))
    args.out.write_text(
        json.dumps({i.image.stem: r for i, r in zip(items, rows, strict=True) if r})
    )
    print(f"{sum(map(len, rows))} candidates on {len(items)} images")


if __name__ == "__main__":
    main()
