"""Draw streets without plates, to count false covers or to train with.

    python -m models.streets --out FOLDER --count 150 --seed 0

Every street is there twice: as it is (source ``street_plain``), and with drawn objects that look
like plates (``street_lookalikes``). With ``--plates`` there are also streets with as many plates
(``street_plates``). FOLDER becomes a YOLO-OBB folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from models.drawing.scenes import Scene, draw_scene
from models.training.augment import Sample, damage, relight
from models.training.lookalikes import add_lookalikes

SIDE = 960
_QUALITY = 92


def streets(seed: int, lookalikes: int, plates: int) -> dict[str, Scene]:
    """Return drawn streets by source: (SIDE, SIDE, 3) RGB, with plates only in the last."""
    rng = np.random.default_rng([seed, 1])
    plain = draw_scene(rng, SIDE, SIDE, 0, angle=float(rng.normal(0, 8)))
    nothing = Sample(plain.rgb, plain.quads, np.zeros(0, np.bool_))
    drawn = {
        "street_plain": plain,
        "street_lookalikes": Scene(add_lookalikes(rng, nothing, lookalikes).rgb, plain.quads),
    }
    if plates:
        drawn["street_plates"] = draw_scene(rng, SIDE, SIDE, plates, angle=float(rng.normal(0, 8)))
    return {
        source: scene._replace(rgb=damage(rng, relight(rng, scene.rgb)))
        for source, scene in drawn.items()
    }


def main() -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(description="Draw streets.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--lookalikes", type=int, default=2, help="in each street")
    parser.add_argument("--plates", type=int, default=0, help="0: no streets with plates")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    images, labels = (args.out / part / args.split for part in ("images", "labels"))
    for folder in (images, labels):
        folder.mkdir(parents=True, exist_ok=True)
    for index in range(args.count):
        drawn = streets(args.seed * 100_000 + index, args.lookalikes, args.plates)
        for source, scene in drawn.items():
            name = f"{source}_{index:04}"
            bgr = cv2.cvtColor(scene.rgb, cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(images / f"{name}.jpg"), bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            lines = (" ".join(f"{v:.6f}" for v in quad.ravel() / SIDE) for quad in scene.quads)
            (labels / f"{name}.txt").write_text("".join(f"0 {line}\n" for line in lines))


if __name__ == "__main__":
    main()
