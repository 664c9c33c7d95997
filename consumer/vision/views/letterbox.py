"""The detector's view of an image: scaled to its input size, padded as little as possible.

Points are continuous: pixel (column i, row j) covers the square from (i, j) to (i + 1, j + 1).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.backends.base import MIN_SIDE, STRIDE

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


def letterbox(rgb: NDArray[np.uint8], imgsz: int) -> Letterboxed:
    """Scale uint8 (H, W, 3) ``rgb`` to ``letterbox_shape`` and centre it on grey."""
    height, width = rgb.shape[:2]
    scaled_height, scaled_width = _scaled(height, width, imgsz)
    box_height, box_width = letterbox_shape(height, width, imgsz)
    top, left = (box_height - scaled_height) // 2, (box_width - scaled_width) // 2
    pixels = np.full((box_height, box_width, 3), PADDING, np.uint8)
    inside = pixels[top : top + scaled_height, left : left + scaled_width]
    inside[:] = resize(rgb, scaled_height, scaled_width)
    return Letterboxed(pixels, imgsz / max(height, width), left, top)


def resize(rgb: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Scale uint8 (H, W, 3) ``rgb`` to ``height`` x ``width``; itself if it has that size.

    Much larger images are halved first, as often as that leaves enough: by area too, so but for
    rounding it is the same, and 12 megapixels take 7 instead of 27 ms to 640 pixels.
    """
    while min(rgb.shape[0] // (2 * height), rgb.shape[1] // (2 * width)) >= 1:
        if rgb.shape[0] % 2 or rgb.shape[1] % 2:
            break
        half = (rgb.shape[1] // 2, rgb.shape[0] // 2)
        rgb = np.asarray(cv2.resize(rgb, half, interpolation=cv2.INTER_AREA), np.uint8)
    if rgb.shape[:2] == (height, width):
        return rgb
    # INTER_LINEAR drops pixels when it shrinks a photo: small plates lose their strokes.
    filter_ = cv2.INTER_AREA if height < rgb.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=filter_), np.uint8)


def _scaled(height: int, width: int, imgsz: int) -> tuple[int, int]:
    scale = imgsz / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def round_up(side: int) -> int:
    """Return the least multiple of the stride that is not less than ``side`` and ``MIN_SIDE``."""
    return max(MIN_SIDE, -(-side // STRIDE) * STRIDE)
