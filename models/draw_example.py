"""Draws the image of README.md: a made-up street, before and after the service's own vision code.

The page at `/` offers the first half as an example.

python -m models.draw_example
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from consumer.vision.cover.cover import cover, load_stub
from consumer.vision.cover.margins import DEFAULT_PADDING, cover_quads
from consumer.vision.finding import CANDIDATE_SCORE, FindOptions, find_plates, split
from consumer.vision.networks import load_networks
from consumer.vision.steps import run_steps
from models.drawing.scenes import draw_scene

ROOT = Path(__file__).resolve().parent.parent
SEED = 4
WIDTH, HEIGHT = 800, 533
GAP = 12


def main() -> None:
    """Write static/example.jpg, and the street alone for the page."""
    before = draw_scene(np.random.default_rng(SEED), WIDTH, HEIGHT).rgb
    networks = load_networks(
        ROOT / "models/plate-obb.pt", ROOT / "models/plate-corners.xml",
        device="cpu", confidence=CANDIDATE_SCORE, max_batch=1,
    )  # fmt: skip
    options = FindOptions(640, "auto", corners=True)
    plates, _ = split(run_steps(find_plates(before, options), networks.run).plates, 0.3)
    after = before.copy()
    stub = load_stub(ROOT / "static/cover.png")
    cover(after, cover_quads(plates.quads, DEFAULT_PADDING), stub=stub)
    sheet = np.full((HEIGHT, 2 * WIDTH + GAP, 3), 255, np.uint8)
    sheet[:, :WIDTH], sheet[:, WIDTH + GAP :] = before, after
    for file, pixels in (("static/example.jpg", sheet), ("producer/assets/ui/example.jpg", before)):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
        (ROOT / file).write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
