"""What the benchmark sends: drawn street scenes, or the JPEG files of a folder."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from models.scenes import draw_scene

SIZES: dict[str, tuple[int, int]] = {
    "640": (640, 427),
    "1920": (1920, 1080),
    "4000": (4000, 3000),
}
"""Width and height of the drawn scenes by the name of their set."""
DISTINCT = 6
"""Different pictures in a drawn set: a cache would show."""
SAMPLE = 6
"""Pictures of a set that stages are measured with, and whose results are looked at."""
QUALITY = 90
_GRAIN = 4.0
_DRAWN_WIDTH = 1920  # wider ones would take seconds each


@dataclass(frozen=True)
class PictureSet:
    """Image files of about one size: (name, bytes)."""

    name: str
    files: list[tuple[str, bytes]]

    def task(self, images: int, first: int = 0) -> list[tuple[str, bytes]]:
        """Return as many files as a task is to have, each under a name of its own."""
        chosen = [self.files[(first + i) % len(self.files)] for i in range(images)]
        return [(f"{i}-{name}", data) for i, (name, data) in enumerate(chosen)]


def drawn(name: str) -> PictureSet:
    """Draw the set of one size; the same pictures every time.

    With the grain of a sensor: a drawing without it would be coded in half the time of a photo.
    """
    width, height = SIZES[name]
    files = []
    for seed in range(DISTINCT):
        rng = np.random.default_rng(seed)
        drawn_width = min(width, _DRAWN_WIDTH)
        rgb = draw_scene(rng, drawn_width, height * drawn_width // width).rgb
        rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
        grain = rng.normal(0, _GRAIN, rgb.shape[:2]).astype(np.float32)
        noisy = np.clip(rgb + grain[..., None], 0, 255).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noisy).save(buffer, "JPEG", quality=QUALITY)
        files.append((f"scene{seed}.jpg", buffer.getvalue()))
    return PictureSet(name, files)


def from_folder(folder: Path) -> PictureSet:
    """Read every image file of a folder. Raises ValueError if there is none."""
    files = [(path.name, path.read_bytes()) for path in _image_paths(folder)]
    if not files:
        raise ValueError(f"{folder} holds no .jpg, .jpeg, .png or .webp")
    return PictureSet(folder.name, files)


def _image_paths(folder: Path) -> Iterator[Path]:
    kinds = {".jpg", ".jpeg", ".png", ".webp"}
    yield from (path for path in sorted(folder.iterdir()) if path.suffix.lower() in kinds)
