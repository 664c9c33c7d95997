"""The margin of a cover around a plate's corners."""

import numpy as np

from consumer.vision.detect.heads import Array

DEFAULT_PADDING = 0.045
"""Default of COVER_PADDING: part of the plate's height."""
_PARALLEL = 0.05  # sine of the angle between two sides under which their crossing is not used
_SMALLEST = 1e-6


def cover_quads(quads: Array, padding: float) -> Array:
    """Return the quads (N, 4, 2) to cover for convex, clockwise plates (N, 4, 2).

    ``padding``: margin on all sides, as a fraction of the plate's height, which is the mean length
    of its two shorter opposite sides.
    """
    grown = [offset(quad, padding * _height(quad)) for quad in quads]
    return np.array(grown, np.float32).reshape(-1, 4, 2)


def offset(quad: Array, margin: float) -> Array:
    """Return a convex, clockwise quad (4, 2) with all sides moved outwards by ``margin``."""
    corners = quad.astype(np.float64)
    sides = np.roll(corners, -1, axis=0) - corners
    normals = np.stack((sides[:, 1], -sides[:, 0]), 1)  # outwards on screen
    normals /= np.linalg.norm(sides, axis=1).clip(_SMALLEST)[:, None]
    before = np.roll(normals, 1, axis=0)
    # A corner moves to where its two moved sides cross: along n1 + n2, by margin / (1 + n1 . n2).
    turn = before[:, 0] * normals[:, 1] - before[:, 1] * normals[:, 0]
    cosine = (before * normals).sum(axis=1)
    reach = margin / np.where(turn > _PARALLEL, 1 + cosine, 1.0).clip(_PARALLEL)
    return np.asarray(corners + (before + normals) * reach[:, None], np.float32)


def _height(quad: Array) -> float:
    lengths = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
    return float(min(lengths[0] + lengths[2], lengths[1] + lengths[3])) / 2
