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

from consumer.vision.detect.detector import NetworkDetector, load_detector
from consumer.vision.views.tiling import views
from consumer.vision.views.view import in_image
from models.corners.photos import similar
from models.dataset import Item, Quads, read_folder, read_image

LOWEST = 0.05


def candidates(detector: NetworkDetector, item: Item) -> list[list[float]]:
    """Return rows of a score and four corners in px: what any view of an image shows, once."""
    rows: list[tuple[float, Quads]] = []
    for view in views(read_image(item.image), 640, "auto"):
        found = in_image(detector.detect(view.pixels[None])[0], view)
        rows += zip(found.scores.tolist(), found.quads, strict=True)
    rows.sort(key=lambda row: -row[0])
    kept: list[tuple[float, Quads]] = []
    for score, quad in rows:
        if all(similar(quad, other) < 0.5 for _, other in kept):
            kept.append((score, quad))
    return [[round(score, 4), *np.round(quad.ravel(), 2).tolist()] for score, quad in kept]


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
        args.checkpoint, device="cpu", confidence=LOWEST, max_batch=1, precision="auto", threads=1
    )
    items = read_folder(args.dataset, args.split)
    with ThreadPoolExecutor(args.threads) as pool:
        rows = list(pool.map(lambda item: candidates(detector, item), items))
    args.out.write_text(
        json.dumps({i.image.stem: r for i, r in zip(items, rows, strict=True) if r})
    )
    print(f"{sum(map(len, rows))} candidates on {len(items)} images")


if __name__ == "__main__":
    main()
