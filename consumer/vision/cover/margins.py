"""The margin of a cover around a plate's corners."""

import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.heads import Array

DEFAULT_PADDING = 0.06
"""Default of COVER_PADDING: part of the plate's height."""
_PARALLEL = 0.05  # sine of the angle between two sides under which their crossing is not used
_SMALLEST = 1e-6


def cover_quads(quads: Array, padding: float) -> Array:
    """Return the quads (N, 4, 2) to cover for convex, clockwise plates (N, 4, 2).

    Every side is moved outwards by ``padding`` times the plate's height, the mean length of its two
    shorter opposite sides.
    """
    return np.array(
        [_grown(quad, padding) for quad in quads.astype(np.float64)], np.float32
    ).reshape(-1, 4, 2)


def _grown(quad: NDArray[np.float64], padding: float) -> NDArray[np.float64]:
    sides = np.roll(quad, -1, axis=0) - quad
    lengths = np.linalg.norm(sides, axis=1).clip(_SMALLEST)
    margin = padding * min(lengths[0] + lengths[2], lengths[1] + lengths[3]) / 2
    normals = np.stack((sides[:, 1], -sides[:, 0]), 1) / lengths[:, None]  # outwards on screen
    before = np.roll(normals, 1, axis=0)
    # A corner moves to where its two moved sides cross: along n1 + n2, by margin / (1 + n1 . n2).
    turn = before[:, 0] * normals[:, 1] - before[:, 1] * normals[:, 0]
    cosine = (before * normals).sum(axis=1)
    reach = margin / np.where(turn > _PARALLEL, 1 + cosine, 1.0).clip(_PARALLEL)
    return np.asarray(quad + (before + normals) * reach[:, None], np.float64)
