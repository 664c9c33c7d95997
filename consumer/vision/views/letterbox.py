"""The detector's view of an image: scaled to its input size, padded as little as possible.

Points are continuous: pixel (column i, row j) covers the square from (i, j) to (i + 1, j + 1).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.backends.base import MIN_SIDE, STRIDE
from consumer.vision.image.scaling import Pyramid

# The grey that ultralytics pads with in training: the network knows it.
PADDING = 114


@dataclass(frozen=True, slots=True)
class Letterboxed:
    """``pixels`` uint8 (h, w, 3); an image point p lies at ``p * scale + offset`` in them."""

    pixels: NDArray[np.uint8]
    scale: float
    offset_x: int
    offset_y: int


def letterbox_shape(height: int, width: int, imgsz: int) -> tuple[int, int]:
    """Return (height, width) of the letterbox for an image: multiples of 32, from 64.

    The long side becomes ``imgsz``, also for smaller images: plates of a few pixels are found
    only when enlarged. The short side is never padded to a square.
    """
    scaled_height, scaled_width = _scaled(height, width, imgsz)
    return round_up(scaled_height), round_up(scaled_width)


def letterbox(image: Pyramid, imgsz: int) -> Letterboxed:
    """Scale an image to ``letterbox_shape`` and centre it on grey."""
    height, width = image.rgb.shape[:2]
    scaled_height, scaled_width = _scaled(height, width, imgsz)
    box_height, box_width = letterbox_shape(height, width, imgsz)
    top, left = (box_height - scaled_height) // 2, (box_width - scaled_width) // 2
    pixels = np.full((box_height, box_width, 3), PADDING, np.uint8)
    inside = pixels[top : top + scaled_height, left : left + scaled_width]
    inside[:] = image.resized(scaled_height, scaled_width)
    return Letterboxed(pixels, imgsz / max(height, width), left, top)


def _scaled(height: int, width: int, imgsz: int) -> tuple[int, int]:
    scale = imgsz / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def round_up(side: int) -> int:
    """Return the least multiple of the stride that is not less than ``side`` and ``MIN_SIDE``."""
    return max(MIN_SIDE, -(-side // STRIDE) * STRIDE)
