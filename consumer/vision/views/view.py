"""One input of the detector, and how its pixels map to the image's."""

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.heads import Array
from consumer.vision.detect.obb import Detections

Pixels = NDArray[np.uint8]
Sides = tuple[bool, bool, bool, bool]
"""Of the left, top, right and bottom side."""

_ROTATIONS = {1: cv2.ROTATE_90_CLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True, slots=True)
class View:
    """One input of the detector, uint8 ``pixels`` (h, w, 3).

    An image point p lies at ``p * scale + offset``, both (x, y), before the view is turned
    clockwise by 90°, ``turns`` times (0 to 3). ``cut``: whether the image continues beyond each
    side of ``pixels``.
    """

    pixels: Pixels
    scale: tuple[float, float]
    offset: tuple[float, float]
    cut: Sides = (False, False, False, False)
    turns: int = 0


def turned(view: View, turns: int) -> View:
    """Return ``view`` turned by 90° clockwise, ``turns`` times; counter-clockwise if negative."""
    turns %= 4
    if not turns:
        return view
    pixels = np.asarray(cv2.rotate(view.pixels, _ROTATIONS[turns]), np.uint8)
    left, top, right, bottom = (view.cut * 2)[4 - turns : 8 - turns]
    cut = (left, top, right, bottom)
    return replace(view, pixels=pixels, cut=cut, turns=(view.turns + turns) % 4)


def in_image(found: Detections, view: View) -> Detections:
    """Map detections in a view's pixels to image pixels."""
    quads = found.quads
    height, width = view.pixels.shape[:2]
    for _ in range(view.turns):
        quads = _turned_back(quads, width)
        height, width = width, height
    offset, scale = np.array(view.offset, np.float32), np.array(view.scale, np.float32)
    return Detections((quads - offset) / scale, found.scores)


def _turned_back(points: Array, width: int) -> Array:
    """Return points (..., 2) of an image of ``width``, turned by 90° counter-clockwise."""
    return np.stack((points[..., 1], width - points[..., 0]), axis=-1)
