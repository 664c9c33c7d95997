"""Draw streets without plates, to count false covers.

    python -m models.streets --out FOLDER --count 150 --seed 0

Every street is there twice: as it is (source ``street_plain``), and with two drawn objects that
look like plates (``street_lookalikes``). FOLDER becomes a YOLO-OBB folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from models.dataset import Pixels
from models.drawing.scenes import draw_scene
from models.training.augment import Sample, damage, relight
from models.training.lookalikes import add_lookalikes

SIDE = 960
LOOKALIKES = 2
_QUALITY = 92


def streets(seed: int) -> dict[str, Pixels]:
    """Return a drawn street without plates, by source: (SIDE, SIDE, 3) RGB."""
    rng = np.random.default_rng([seed, 1])
    plain = draw_scene(rng, SIDE, SIDE, 0, angle=float(rng.normal(0, 8))).rgb
    nothing = Sample(plain, np.zeros((0, 4, 2), np.float32), np.zeros(0, np.bool_))
    drawn = {
        "street_plain": plain,
        "street_lookalikes": add_lookalikes(rng, nothing, LOOKALIKES).rgb,
    }
    return {source: damage(rng, relight(rng, rgb)) for source, rgb in drawn.items()}


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Draw streets without plates.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for part in ("images/val", "labels/val"):
        (args.out / part).mkdir(parents=True, exist_ok=True)
    for index in range(args.count):
        for source, rgb in streets(args.seed * 100_000 + index).items():
            name = f"{source}_{index:04}"
            bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
            path = str(args.out / "images/val" / f"{name}.jpg")
            cv2.imwrite(path, bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            (args.out / "labels/val" / f"{name}.txt").write_text("")


if __name__ == "__main__":
    main()
