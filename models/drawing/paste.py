"""Paste a drawn image into a photograph or scene, in a known perspective."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Quad = npt.NDArray[np.float32]


def quad_size(quad: Quad) -> tuple[float, float]:
    """Return mean width and mean height (px) of a quad given as TL, TR, BR, BL."""
    top, right, bottom, left = (
        float(np.linalg.norm(quad[(i + 1) % 4] - quad[i])) for i in range(4)
    )
    return (top + bottom) / 2, (left + right) / 2


def shrink_to(patch: Pixels, width: float, height: float) -> Pixels:
    """Reduce an image to about the given size (px) so that warping it does not alias."""
    h, w = patch.shape[:2]
    new_w = max(2, min(w, round(width * 1.15)))
    new_h = max(2, min(h, round(height * 1.15)))
    if (new_w, new_h) == (w, h):
        return patch
    return np.asarray(cv2.resize(patch, (new_w, new_h), interpolation=cv2.INTER_AREA), np.uint8)


def paste(image: Pixels, patch: Pixels, quad: Quad) -> None:
    """Blend an RGBA image (h, w, 4) onto ``image`` (H, W, 3) in place.

    ``quad`` (4, 2) says where the corners of the image go, in px: TL, TR, BR, BL; a pixel's
    area spans [x, x + 1). Parts outside the image are cut off.
    """
    height, width = image.shape[:2]
    x0, y0 = np.maximum(np.floor(quad.min(0)).astype(int) - 1, 0).tolist()
    x1 = min(width, int(np.ceil(quad[:, 0].max())) + 1)
    y1 = min(height, int(np.ceil(quad[:, 1].max())) + 1)
    if x1 <= x0 or y1 <= y0:
        return
    patch = shrink_to(patch, *quad_size(quad))
    h, w = patch.shape[:2]
    source = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32) - 0.5
    target = (quad - np.array([x0, y0], np.float32) - 0.5).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(source, target)
    premultiplied = patch.astype(np.float32)
    premultiplied[..., :3] *= premultiplied[..., 3:] / 255
    layer = cv2.warpPerspective(premultiplied, matrix, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR)
    region = image[y0:y1, x0:x1]
    blended = layer[..., :3] + region * (1 - layer[..., 3:] / 255)
    region[:] = np.rint(blended.clip(0, 255)).astype(np.uint8)


def view_of(image: Pixels, quad: Quad, margin: int = 0) -> tuple[Pixels, Quad]:
    """Return the part of an image within a quad's bounds, and its top left corner (2,) in px.

    The part is a NumPy view, never empty.
    """
    height, width = image.shape[:2]
    low, high = np.floor(quad.min(0)) - margin, np.ceil(quad.max(0)) + margin
    x, y = np.clip(low.astype(int), 0, [width - 1, height - 1]).tolist()
    x2, y2 = np.clip(high.astype(int), 1, [width, height]).tolist()
    return image[y : max(y2, y + 1), x : max(x2, x + 1)], np.array([x, y], np.float32)


def project(matrix: npt.NDArray[np.float64], points: Quad) -> Quad:
    """Return points (N, 2) mapped by a 3x3 matrix."""
    mapped = cv2.perspectiveTransform(points.reshape(1, -1, 2).astype(np.float64), matrix)
    return np.asarray(mapped.reshape(-1, 2), np.float32)
