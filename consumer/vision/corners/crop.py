"""Crops of candidates: all of one size, cut out of the image at its full resolution.

A candidate is a quad (4, 2), clockwise from the top left of the text. Three crops are made of it,
all turned so that its text runs level: a close one, of which the candidate fills a fixed
part, and two that show more and more of its surroundings, which tell whether it is a plate.
Points are continuous: pixel (column i, row j) covers the square from (i, j) to (i + 1, j + 1).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.heads import Array
from consumer.vision.image.scaling import Pixels, Pyramid

WIDTH, HEIGHT = 192, 96
"""Size of the close crop in pixels."""
VERDICT_WIDTH = 128
"""Width of the other crops in pixels; they are as high as the close one."""
REACHES = (2.0, 5.0)
"""How many times as wide as a candidate of 2 : 1 the other crops are."""
INPUT_WIDTH = WIDTH + len(REACHES) * VERDICT_WIDTH
"""Width of all crops side by side, the network's input."""
_PLATE_WIDTH, _PLATE_HEIGHT = 128.0, 48.0  # the candidate's largest size in the close crop
_SMALLEST = 2.0  # pixels of a candidate's side


def crop_matrix(quad: Array) -> NDArray[np.float64]:
    """Return the matrix (2, 3) from image points to points of the close crop of a candidate."""
    width, height, axis = _size(quad)
    scale = min(_PLATE_WIDTH / max(width, _SMALLEST), _PLATE_HEIGHT / max(height, _SMALLEST))
    return _level(quad, axis, scale, WIDTH)


def verdict_matrix(quad: Array, reach: float) -> NDArray[np.float64]:
    """Return the matrix (2, 3) from image points to points of the crop with a reach."""
    width, height, axis = _size(quad)
    scale = VERDICT_WIDTH / (reach * max(width, 2 * height, 2 * _SMALLEST))
    return _level(quad, axis, scale, VERDICT_WIDTH)


def _size(quad: Array) -> tuple[float, float, NDArray[np.float64]]:
    """Return the mean width and height of a candidate, and the direction (2,) of its text."""
    corners = quad.astype(np.float64)
    across = (corners[1] - corners[0] + corners[2] - corners[3]) / 2
    down = (corners[3] - corners[0] + corners[2] - corners[1]) / 2
    width, height = float(np.linalg.norm(across)), float(np.linalg.norm(down))
    return width, height, across / width if width >= _SMALLEST else np.array((1.0, 0.0))


def _level(quad: Array, axis: NDArray[np.float64], scale: float, width: int) -> NDArray[np.float64]:
    """Return the matrix of a crop in whose middle a candidate lies level."""
    linear = scale * np.array(((axis[0], axis[1]), (-axis[1], axis[0])))
    offset = np.array((width, HEIGHT)) / 2 - linear @ quad.astype(np.float64).mean(axis=0)
    return np.hstack((linear, offset[:, None]))


def network_input(image: Pyramid, quad: Array) -> Pixels:
    """Return all crops of a candidate side by side, uint8 (HEIGHT, INPUT_WIDTH, 3).

    From the left: the close one, then those of ``REACHES``.
    """
    others = [cut(image, verdict_matrix(quad, reach), VERDICT_WIDTH) for reach in REACHES]
    return np.hstack((cut(image, crop_matrix(quad)), *others))


def cut(image: Pyramid, matrix: NDArray[np.float64], width: int = WIDTH) -> Pixels:
    """Return the crop, uint8 (HEIGHT, width, 3), of an image by one of the matrices.

    Outside of the image it repeats the pixels of the edge.
    """
    # warpAffine skips pixels if it shrinks by more than 2, so it gets a smaller level.
    rgb = image.at(float(np.hypot(matrix[0, 0], matrix[0, 1])))
    rows, columns = rgb.shape[:2]
    factor = np.array((columns, rows)) / (image.rgb.shape[1], image.rgb.shape[0])
    to_level = np.hstack((matrix[:, :2] / factor, matrix[:, 2:]))
    frame = np.array(((0, 0, 1), (width, 0, 1), (width, HEIGHT, 1), (0, HEIGHT, 1)), np.float64)
    corners = frame @ inverted(to_level).T
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    high = np.ceil(corners.max(axis=0)).astype(int) + 2
    left, right = np.clip((low[0], high[0]), 0, columns).tolist()
    top, bottom = np.clip((low[1], high[1]), 0, rows).tolist()
    # A candidate outside of the image: one pixel of the edge.
    left, top = min(left, columns - 1), min(top, rows - 1)
    part = rgb[top : max(bottom, top + 1), left : max(right, left + 1)]
    # From points of the part to points of the crop; warpAffine counts from pixel centres.
    linear = to_level[:, :2]
    offset = to_level[:, 2] + linear @ (left + 0.5, top + 0.5) - 0.5
    warp = np.hstack((linear, offset[:, None]))
    crop = cv2.warpAffine(
        part, warp, (width, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, np.uint8)


def moved(points: Array, matrix: NDArray[np.float64]) -> Array:
    """Return points (..., 2) mapped by a matrix (2, 3)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float32)


def inverted(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix (2, 3) that maps back."""
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)
