"""What the benchmark sends: drawn street scenes, or the image files of a folder."""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.drawing.scenes import draw_scene

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Drawing:
    """How a set is drawn: ``width`` and ``height`` in pixels; see ``photographed`` for the rest."""

    width: int
    height: int
    detail: float
    grain: float = 0.5


DRAWINGS = {
    "640": Drawing(640, 427, detail=10.0),
    "1920": Drawing(1920, 1080, detail=6.0),
    "1920-grain": Drawing(1920, 1080, detail=6.0, grain=4.0),
    "4000": Drawing(4000, 3000, detail=3.0),
}
"""The drawn sets, by name."""
DISTINCT = 6
"""Different images in a drawn set: a cache would show."""
SAMPLE = 6
"""Images of a set that stages are measured with, and whose results are compared."""
QUALITY = 90
_MAX_DRAWN_WIDTH = 1920  # wider ones would take seconds each
_MAX_DETAIL = 25.0
_PATCHES = 24
_OCTAVES = 6


@dataclass(frozen=True)
class ImageSet:
    """Image files of about one size: (name, bytes)."""

    name: str
    files: list[tuple[str, bytes]]

    def task(self, images: int, first: int = 0) -> list[tuple[str, bytes]]:
        """Return as many files as a task is to have, each under a name of its own."""
        chosen = [self.files[(first + i) % len(self.files)] for i in range(images)]
        return [(f"{i}-{name}", data) for i, (name, data) in enumerate(chosen)]


def drawn(name: str) -> ImageSet:
    """Draw a set; the same images every time. Raises ValueError if there is none of this name."""
    if name not in DRAWINGS:
        raise ValueError(f"no set of images is called {name}; there are {', '.join(DRAWINGS)}")
    drawing = DRAWINGS[name]
    width, height = drawing.width, drawing.height
    files = []
    for seed in range(DISTINCT):
        rng = np.random.default_rng(seed)
        drawn_width = min(width, _MAX_DRAWN_WIDTH)
        rgb = draw_scene(rng, drawn_width, height * drawn_width // width, noise=0).rgb
        rgb = np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
        rgb = photographed(rgb, rng, drawing.detail, drawing.grain)
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "JPEG", quality=QUALITY)
        files.append((f"scene{seed}.jpg", buffer.getvalue()))
    return ImageSet(name, files)


def photographed(rgb: Pixels, rng: np.random.Generator, detail: float, grain: float) -> Pixels:
    """Give a drawing what makes a photograph hard to encode: much detail here, and little there.

    ``detail``: the median of its strength, in percent of the brightness. ``grain``: standard
    deviation of noise, alike everywhere. Measured on eight phone photos of 12 megapixels and on
    twelve scaled to 1920 and to 640 pixels, libwebp's default takes 1.01, 1.52 and 2.40 bits a
    pixel at quality 90 and reaches an SSIM of 0.989, 0.985 and 0.987; of three images of each set
    without much grain 1.16, 1.60 and 2.25 with 0.982, 0.983 and 0.987. Of grain between 1 and 8,
    4 is what libwebp's fast methods keep worst.
    """
    height, width = rgb.shape[:2]
    texture = np.zeros((height, width), np.float32)
    for octave in range(_OCTAVES):
        texture += _field(rng, height, width, (-(-height >> octave), -(-width >> octave)))
    patches = _field(rng, height, width, (_PATCHES * 3 // 4, _PATCHES))
    strength = np.minimum(detail * np.exp(2 * patches), _MAX_DETAIL) / 100
    lit = rgb * (1 + strength * texture / math.sqrt(_OCTAVES))[..., None]
    noise = rng.normal(0, grain, (height, width)).astype(np.float32)
    return np.asarray(np.clip(lit + noise[..., None], 0, 255), np.uint8)


def _field(
    rng: np.random.Generator, height: int, width: int, cells: tuple[int, int]
) -> NDArray[np.float32]:
    """Return smooth noise (height, width) of about unit variance that changes from cell to cell."""
    coarse = rng.normal(0, 1, cells).astype(np.float32)
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(field, np.float32)


def from_folder(folder: Path) -> ImageSet:
    """Read every image file of a folder. Raises ValueError if there is none."""
    files = [(path.name, path.read_bytes()) for path in _image_paths(folder)]
    if not files:
        raise ValueError(f"{folder} holds no .jpg, .jpeg, .png or .webp")
    return ImageSet(folder.name, files)


def _image_paths(folder: Path) -> Iterator[Path]:
    kinds = {".jpg", ".jpeg", ".png", ".webp"}
    yield from (path for path in sorted(folder.iterdir()) if path.suffix.lower() in kinds)
