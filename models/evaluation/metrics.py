"""Measures of how well plates are covered: pure functions of quads (4, 2) in px."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from consumer.vision.views.overlap import shared_area

Quad = npt.NDArray[np.float32]

_GRID_X, _GRID_Y = 96, 48


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval of a share, 95 % by default; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    middle = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def area(quad: Quad) -> float:
    """Return the area of the convex hull of a quad."""
    return float(cv2.contourArea(cv2.convexHull(np.ascontiguousarray(quad, np.float32))))


def bounds(quad: Quad) -> Quad:
    """Return the upright rectangle around a quad, as a quad."""
    (x, y), (x2, y2) = quad.min(0), quad.max(0)
    return np.array([[x, y], [x2, y], [x2, y2], [x, y2]], np.float32)


def inside(points: npt.NDArray[np.float64], quad: Quad) -> npt.NDArray[np.bool_]:
    """Return a mask (N,) of the points (N, 2) in the convex hull of a quad, borders included."""
    hull = cv2.convexHull(np.ascontiguousarray(quad, np.float32), clockwise=True)[:, 0]
    hull = hull.astype(np.float64)
    if len(hull) < 3:
        return np.zeros(len(points), np.bool_)
    edges = np.roll(hull, -1, axis=0) - hull
    offset = points[:, None] - hull[None]
    turn = edges[None, :, 0] * offset[..., 1] - edges[None, :, 1] * offset[..., 0]
    return np.asarray((turn >= -1e-6).all(1) | (turn <= 1e-6).all(1), np.bool_)


def covered_share(plate: Quad, covers: Sequence[Quad]) -> float:
    """Return the share of a plate's area that lies under any of the covers, 0..1.

    Measured on a grid of points over the plate, to within about one per cent.
    """
    u, v = np.meshgrid((np.arange(_GRID_X) + 0.5) / _GRID_X, (np.arange(_GRID_Y) + 0.5) / _GRID_Y)
    weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v], -1)
    points = weights.reshape(-1, 4) @ plate.astype(np.float64)
    hidden = np.zeros(len(points), np.bool_)
    for cover in covers:
        hidden |= inside(points, cover)
    return float(hidden.mean())


def overlap(first: Quad, second: Quad) -> float:
    """Return the area of the intersection of two quads' hulls."""
    hulls = [cv2.convexHull(np.ascontiguousarray(it, np.float32)) for it in (first, second)]
    a, b = (np.asarray(hull[:, 0], np.float32) for hull in hulls)
    return shared_area(a, b)


def long_angle(quad: Quad) -> float:
    """Return the direction of a quad's long sides in degrees, [-90, 90), 0 when level.

    The corners may start anywhere and run either way.
    """
    sides = np.roll(quad, -1, axis=0) - quad
    lengths = np.linalg.norm(sides, axis=1)
    start = 0 if lengths[0] + lengths[2] >= lengths[1] + lengths[3] else 1
    x, y = (sides[start] - sides[start + 2]).tolist()
    return (math.degrees(math.atan2(y, x)) + 90) % 180 - 90


def angle_error(label: Quad, found: Quad) -> float:
    """Return the angle between the long sides of two quads, 0..90 degrees."""
    difference = abs(long_angle(label) - long_angle(found)) % 180
    return min(difference, 180 - difference)


def plate_height(quad: Quad) -> float:
    """Return the mean length of a quad's two shorter sides, px."""
    lengths = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
    return float(min(lengths[0] + lengths[2], lengths[1] + lengths[3]) / 2)
