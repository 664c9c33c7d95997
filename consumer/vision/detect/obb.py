"""From boxes to oriented plates: rotated NMS, corners.

A box is centre x, centre y, width, height in pixels and angle in radians, clockwise on screen.

ultralytics' NMS is not used: after a time limit it leaves the rest of a batch without detections.
This one has neither a time limit nor a maximum number of plates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.heads import Array, Decoded

_CORNERS = np.array(((-1, -1), (1, -1), (1, 1), (-1, 1)))
# A plate in two rows, 1.4 to 1.6 times as wide as high, may seem higher than wide.
_NEARLY_SQUARE = 1.7
_EPSILON = 1e-7
_LEVEL_SLACK = 1e-3


@dataclass(frozen=True, slots=True)
class Detections:
    """Plates of one image, the highest score first.

    ``quads`` float32 (N, 4, 2): corners in pixels, clockwise on screen from the top left of the
    text. ``scores`` float32 (N,), 0 to 1.
    """

    quads: Array
    scores: Array

    def __getitem__(self, chosen: NDArray[np.intp] | NDArray[np.bool_]) -> "Detections":
        """Return some of the plates."""
        return Detections(self.quads[chosen], self.scores[chosen])


def joined(parts: Sequence[Detections]) -> Detections:
    """Return the plates of all parts, in their order."""
    return Detections(
        np.concatenate([part.quads for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


def detections(found: Decoded, *, iou: float) -> Detections:
    """Return the plates among boxes of any class."""
    kept = rotated_nms(found.boxes, found.scores, iou)
    return Detections(upright_quads(found.boxes[kept]), found.scores[kept].astype(np.float32))


def rotated_nms(boxes: Array, scores: Array, iou: float) -> NDArray[np.intp]:
    """Return the indexes of the boxes (N, 5) to keep, best first, equal scores in input order.

    A box is removed if its probabilistic IoU with a better one that is kept is over ``iou``.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(int(best))
        order = order[prob_iou(boxes[best], boxes[order]) <= iou]
    return np.array(kept, np.intp)


def prob_iou(box: Array, others: Array) -> Array:
    """Return the probabilistic IoU of ``box`` (5,) with ``others`` (N, 5).

    Source: Llerena et al., Gaussian Bounding Boxes and Probabilistic Intersection-over-Union for
    Object Detection, arXiv 2106.06072; ultralytics trains and evaluates OBB models with it.
    """
    a1, b1, c1 = _covariance(box[None].astype(np.float64))
    a2, b2, c2 = _covariance(others.astype(np.float64))
    a, b, c = a1 + a2, b1 + b2, c1 + c2
    dx, dy = others[:, 0] - float(box[0]), others[:, 1] - float(box[1])
    spread = a * b - c**2
    distance = (a * dy**2 + b * dx**2 - 2 * c * dx * dy) / (4 * (spread + _EPSILON))
    own = np.sqrt(np.clip(a1 * b1 - c1**2, 0, None) * np.clip(a2 * b2 - c2**2, 0, None))
    shape = np.log(spread / (4 * own + _EPSILON) + _EPSILON) / 2
    bhattacharyya = np.clip(distance + shape, _EPSILON, 100)
    return np.asarray(1 - np.sqrt(1 - np.exp(-bhattacharyya) + _EPSILON), np.float32)


def upright_quads(boxes: Array) -> Array:
    """Return the corners (N, 4, 2) of ``boxes`` (N, 5), as in ``Detections``.

    A box does not contain which of its sides is the top. Plates are read along their long side,
    from left to right, or from bottom to top if they stand on end; nearly square ones along the
    side that is closest to level.
    """
    x, y, width, height, angle = boxes.astype(np.float64).T
    across = np.stack((np.cos(angle), np.sin(angle)), -1)[:, None]
    down = np.stack((-np.sin(angle), np.cos(angle)), -1)[:, None]
    half = np.stack((width, height), -1)[:, None] / 2 * _CORNERS
    corners = np.stack((x, y), -1)[:, None] + half[..., :1] * across + half[..., 1:] * down
    order = (_first_corner(width, height, angle)[:, None] + np.arange(4)) % 4
    return np.asarray(corners[np.arange(len(boxes))[:, None], order], np.float32)


def _first_corner(
    width: NDArray[np.float64], height: NDArray[np.float64], angle: NDArray[np.float64]
) -> NDArray[np.intp]:
    """Return the corner where the text starts, clockwise from the box's own top left."""
    near_square = np.maximum(width, height) < _NEARLY_SQUARE * np.minimum(width, height)
    steep = np.abs(np.sin(angle)) > np.abs(np.cos(angle))
    turned = np.where(near_square, steep, height > width)
    # Into [-90, 90) degrees; a plate on end is -90, even if rounding makes it 89.99.
    along = np.where(turned, angle + np.pi / 2, angle) + np.pi / 2 + _LEVEL_SLACK
    upside_down = along // np.pi % 2 == 1
    return np.asarray(turned + 2 * upside_down, np.intp)


def _covariance(boxes: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return the covariances xx, yy and xy of the Gaussians of ``boxes`` (N, 5)."""
    across, down = boxes[:, 2] ** 2 / 12, boxes[:, 3] ** 2 / 12
    cos, sin = np.cos(boxes[:, 4]), np.sin(boxes[:, 4])
    return (
        across * cos**2 + down * sin**2,
        across * sin**2 + down * cos**2,
        (across - down) * cos * sin,
    )
