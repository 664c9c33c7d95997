"""The second stage: which candidates are plates, and where exactly their corners are."""

from typing import NamedTuple

import numpy as np

from consumer.vision.corners.crop import crop_matrix, cut, inverted, moved
from consumer.vision.corners.model import CornerResult
from consumer.vision.detect.heads import Array
from consumer.vision.detect.obb import Detections
from consumer.vision.steps import NetworkInput, Pixels, Steps
from consumer.vision.views.overlap import shared_area

_AT_ONCE = 32
"""Crops that exist at the same time: their memory stays bounded whatever the detector finds."""
_HOPELESS = 0.05
"""Score under which the corners are not examined again."""
_SAME_FRAME = 0.8
"""Overlap of a candidate with its corners from which on its crop was the right one."""


class _Examined(NamedTuple):
    score: float
    quad: Array


def refine(rgb: Pixels, found: Detections) -> Steps[Detections]:
    """Return the candidates with the second stage's corners and scores, in their order.

    ``rgb`` (H, W, 3): the image in whose pixels ``found`` lies. The crop of a candidate whose
    corners lie elsewhere is cut again around these: a candidate may be half of a plate.
    """
    examined: list[_Examined] = []
    for start in range(0, len(found.quads), _AT_ONCE):
        quads = found.quads[start : start + _AT_ONCE]
        first = yield from _examine(rgb, quads)
        moved_away = [
            index
            for index, (quad, it) in enumerate(zip(quads, first, strict=True))
            if it.score >= _HOPELESS and not _is_same_frame(quad, it.quad)
        ]
        again = yield from _examine(rgb, np.array([first[index].quad for index in moved_away]))
        for index, better in zip(moved_away, again, strict=True):
            first[index] = better
        examined += first
    return Detections(
        np.array([it.quad for it in examined], np.float32).reshape(-1, 4, 2),
        np.array([it.score for it in examined], np.float32),
    )


def _examine(rgb: Pixels, quads: Array) -> Steps[list[_Examined]]:
    if not len(quads):
        return []
    matrices = [crop_matrix(quad) for quad in quads]
    results: list[CornerResult] = yield [
        NetworkInput("corners", cut(rgb, matrix)) for matrix in matrices
    ]
    return [
        _Examined(it.score, _usable(moved(it.corners, inverted(matrix)), quad))
        for it, matrix, quad in zip(results, matrices, quads, strict=True)
    ]


def _usable(corners: Array, candidate: Array) -> Array:
    """Return the corners as text is read, or the candidate where they form no convex quad."""
    sides = np.roll(corners, -1, axis=0) - corners
    following = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
    if (turns <= 0).any():  # clockwise on screen everywhere, or it is not convex
        return candidate
    return corners


def _is_same_frame(quad: Array, other: Array) -> bool:
    shared = shared_area(quad, other)
    x, y = np.moveaxis(np.stack((quad, other)).astype(np.float64), 2, 0)
    following = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    areas = np.abs((x * following[1] - following[0] * y).sum(axis=1)) / 2
    return bool(shared >= _SAME_FRAME * (areas.sum() - shared))
