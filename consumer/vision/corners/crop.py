"""Crops of candidates: all of one size, cut out of the image at its full resolution.

A candidate is a quad (4, 2), clockwise from the top left of the text. Its crop is turned so that
the candidate's text runs level, and scaled so that the candidate fills a fixed part of it.
Points are continuous: pixel (column i, row j) covers the square from (i, j) to (i + 1, j + 1).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.heads import Array

Pixels = NDArray[np.uint8]

WIDTH, HEIGHT = 192, 96
"""Size of a crop in pixels."""
_PLATE_WIDTH, _PLATE_HEIGHT = 128.0, 48.0  # the candidate's largest size in the crop
_SMALLEST = 2.0  # pixels of a candidate's side


def crop_matrix(quad: Array) -> NDArray[np.float64]:
    """Return the matrix (2, 3) from image points to points of the crop of a candidate (4, 2)."""
    corners = quad.astype(np.float64)
    across = (corners[1] - corners[0] + corners[2] - corners[3]) / 2
    down = (corners[3] - corners[0] + corners[2] - corners[1]) / 2
    width, height = float(np.linalg.norm(across)), float(np.linalg.norm(down))
    axis = across / width if width >= _SMALLEST else np.array((1.0, 0.0))
    scale = min(_PLATE_WIDTH / max(width, _SMALLEST), _PLATE_HEIGHT / max(height, _SMALLEST))
    linear = scale * np.array(((axis[0], axis[1]), (-axis[1], axis[0])))
    offset = np.array((WIDTH, HEIGHT)) / 2 - linear @ corners.mean(axis=0)
    return np.hstack((linear, offset[:, None]))


def cut(rgb: Pixels, matrix: NDArray[np.float64]) -> Pixels:
    """Return the crop, uint8 (HEIGHT, WIDTH, 3), of an image (H, W, 3) by ``crop_matrix``.

    Outside of the image it repeats the pixels of the edge.
    """
    height, width = rgb.shape[:2]
    inverse = inverted(matrix)
    frame = np.array(((0, 0, 1), (WIDTH, 0, 1), (WIDTH, HEIGHT, 1), (0, HEIGHT, 1)), np.float64)
    corners = frame @ inverse.T
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    high = np.ceil(corners.max(axis=0)).astype(int) + 2
    left, right = np.clip((low[0], high[0]), 0, width).tolist()
    top, bottom = np.clip((low[1], high[1]), 0, height).tolist()
    # A candidate outside of the image: one pixel of the edge.
    left, top = min(left, width - 1), min(top, height - 1)
    part = rgb[top : max(bottom, top + 1), left : max(right, left + 1)]
    scale = float(np.hypot(matrix[0, 0], matrix[0, 1]))
    factor = np.ones(2)
    if scale < 1:  # warpAffine skips pixels when it shrinks: average first
        size = [max(1, round(side * scale)) for side in (part.shape[1], part.shape[0])]
        factor = np.array(size) / (part.shape[1], part.shape[0])
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    # From points of the reduced part to points of the crop; warpAffine counts from pixel centres.
    linear = matrix[:, :2] / factor
    offset = matrix[:, 2] + matrix[:, :2] @ (left, top) + linear @ (0.5, 0.5) - 0.5
    warp = np.hstack((linear, offset[:, None]))
    crop = cv2.warpAffine(
        part, warp, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(crop, np.uint8)


def moved(points: Array, matrix: NDArray[np.float64]) -> Array:
    """Return points (..., 2) mapped by a matrix (2, 3)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], np.float32)


def inverted(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix (2, 3) that maps back."""
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64)
