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
from consumer.vision.image.scaling import Pyramid
from consumer.vision.networks import Networks
from consumer.vision.steps import run_steps
from consumer.vision.views.tiling import views
from consumer.vision.views.view import in_image
from models.dataset import Item, read_folder, read_image

LOWEST = 0.02
LOWEST_WITHOUT_PLATES = 0.003
_SIZES_WITHOUT_PLATES = (640, 960, 1280)
_MOST_WITHOUT_PLATES = 8


def candidates(networks: Networks, item: Item) -> list[list[float]]:
    """Return rows of a score and four corners in px: what the second stage gets to examine."""
    options = FindOptions(640, "auto", corners=False)
    return _rows(run_steps(find_plates(read_image(item.image), options), networks.run).plates)


def wrong_candidates(networks: Networks, item: Item) -> list[list[float]]:
    """Return as many candidates as possible on an image without plates, as ``candidates`` does.

    It is examined at several sizes: the detector was trained with these images, so at its own size
    it proposes much less on them than on others.
    """
    rgb, rows = read_image(item.image), []
    for size in _SIZES_WITHOUT_PLATES:
        [whole] = views(Pyramid(rgb), size, "off")
        [found] = networks.detector.detect(whole.pixels[None])
        best = np.argsort(-found.scores)[:_MOST_WITHOUT_PLATES]
        rows += _rows(in_image(found[best], whole))
    return rows


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
    items = read_folder(args.dataset, args.split)
    networks = {
        lowest: Networks(load_detector(
            args.checkpoint, device="cpu", confidence=lowest, max_batch=1,
            precision="auto", threads=1, passes=args.threads,
        ))
        for lowest in (LOWEST, LOWEST_WITHOUT_PLATES)
    }  # fmt: skip

    def examine(item: Item) -> list[list[float]]:
        # Calibration, on val, needs candidates as the worker has them.
        if args.split == "train" and not len(item.quads):
            return wrong_candidates(networks[LOWEST_WITHOUT_PLATES], item)
        return candidates(networks[LOWEST], item)

    with ThreadPoolExecutor(args.threads) as pool:
        rows = list(pool.map(examine, items))
    args.out.write_text(
        json.dumps({i.image.stem: r for i, r in zip(items, rows, strict=True) if r})
    )
    print(f"{sum(map(len, rows))} candidates on {len(items)} images")


if __name__ == "__main__":
    main()
