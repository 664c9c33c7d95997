"""Measures of how well plates are covered: pure functions of quads (4, 2) in px."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from consumer.vision.views.overlap import shared_area

Quad = npt.NDArray[np.float32]

_Point = tuple[float, float]
_Polygon = list[_Point]


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval of a share, 95 % by default; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    middle = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (middle - spread) / scale), min(1.0, (middle + spread) / scale)


def poisson(count: int, z: float = 1.96) -> tuple[float, float]:
    """Return the interval of a Poisson mean of which ``count`` events were seen, 95 % by default.

    Byar's approximation of the exact interval: Breslow and Day, Statistical Methods in Cancer
    Research II, IARC 1987.
    """

    def bound(n: float, z: float) -> float:
        return float(n * (1 - 1 / (9 * n) + z / (3 * math.sqrt(n))) ** 3)

    return (bound(count, -z) if count else 0.0), bound(count + 1, z)


def area(quad: Quad) -> float:
    """Return the area of the convex hull of a quad."""
    return float(cv2.contourArea(cv2.convexHull(np.ascontiguousarray(quad, np.float32))))


def bounds(quad: Quad) -> Quad:
    """Return the upright rectangle around a quad, as a quad."""
    (x, y), (x2, y2) = quad.min(0), quad.max(0)
    return np.array([[x, y], [x2, y], [x2, y2], [x, y2]], np.float32)


def covered_share(plate: Quad, covers: Sequence[Quad]) -> float:
    """Return the share of a plate's area that lies under any of the covers, 0..1; exact.

    0 for a plate without area.
    """
    whole = _hull(plate)
    total = _polygon_area(whole)
    if total <= 0:
        return 0.0
    left = [whole]
    for cover in covers:
        left = [part for piece in left for part in _outside(piece, _hull(cover))]
    return min(1.0, max(0.0, 1 - sum(map(_polygon_area, left)) / total))


def _hull(quad: Quad) -> _Polygon:
    """Return the convex hull of a quad, always in the same direction."""
    hull = cv2.convexHull(np.ascontiguousarray(quad, np.float32), clockwise=True)[:, 0]
    points = [(float(x), float(y)) for x, y in hull]
    return points if _signed_area(points) >= 0 else points[::-1]


def _signed_area(polygon: _Polygon) -> float:
    pairs = zip(polygon, [*polygon[1:], *polygon[:1]], strict=True)
    return sum(x * y2 - x2 * y for (x, y), (x2, y2) in pairs) / 2


def _polygon_area(polygon: _Polygon) -> float:
    return abs(_signed_area(polygon))


def _outside(piece: _Polygon, hull: _Polygon) -> list[_Polygon]:
    """Return the parts of a convex polygon that lie outside of a convex hull.

    Each edge of the hull cuts off what lies beyond it; what no edge cuts off lies inside.
    """
    if _polygon_area(hull) <= 0:
        return [piece]
    parts = []
    for start, end in zip(hull, [*hull[1:], *hull[:1]], strict=True):
        beyond, piece = _cut(piece, end, start), _cut(piece, start, end)
        if len(beyond) > 2:
            parts.append(beyond)
        if len(piece) < 3:
            break
    return parts


def _cut(polygon: _Polygon, start: _Point, end: _Point) -> _Polygon:
    """Return the part of a convex polygon on the inner side of the line from start to end."""
    (x, y), (dx, dy) = start, (end[0] - start[0], end[1] - start[1])
    sides = [dx * (py - y) - dy * (px - x) for px, py in polygon]
    kept: _Polygon = []
    for i, (here, side) in enumerate(zip(polygon, sides, strict=True)):
        after = (i + 1) % len(polygon)
        if side >= 0:
            kept.append(here)
        if side * sides[after] < 0:
            t = side / (side - sides[after])
            kept.append(
                (
                    here[0] + t * (polygon[after][0] - here[0]),
                    here[1] + t * (polygon[after][1] - here[1]),
                )
            )
    return kept


def overlap(first: Quad, second: Quad) -> float:
    """Return the area of the intersection of two quads' hulls."""
    hulls = [cv2.convexHull(np.ascontiguousarray(it, np.float32)) for it in (first, second)]
    a, b = (np.asarray(hull[:, 0], np.float32) for hull in hulls)
    return shared_area(a, b)


def shrunk(quad: Quad, share: float) -> Quad:
    """Return a quad whose sides are ``share`` of those of ``quad``, with the same centre."""
    centre = quad.mean(axis=0)
    return np.asarray(centre + (quad - centre) * share, np.float32)


def iou(first: Quad, second: Quad) -> float:
    """Return the area of the intersection of two quads' hulls over that of their union."""
    shared = overlap(first, second)
    return shared / max(area(first) + area(second) - shared, 1e-9)


def long_angle(quad: Quad) -> float:
    """Return the direction of a quad's long sides in degrees, [-90, 90), 0 when level.

    The corners may start anywhere and run either way.
    """
    sides = np.roll(quad, -1, axis=0) - quad
    lengths = np.linalg.norm(sides, axis=1)
    start = 0 if lengths[0] + lengths[2] >= lengths[1] + lengths[3] else 1
    x, y = (sides[start] - sides[start + 2]).tolist()
    return (math.degrees(math.atan2(y, x)) + 90) % 180 - 90


def tilt(quad: Quad) -> float:
    """Return the angle between a quad's long sides and the horizontal, 0..90 degrees."""
    return abs(long_angle(quad))


def reading_tilt(quad: Quad) -> float:
    """Return the angle of the text to the horizontal, 0..90 degrees.

    The corners of ``quad`` must start at the top left of the text and run clockwise: of a nearly
    square plate the long sides do not tell.
    """
    x, y = (quad[1] - quad[0] + quad[2] - quad[3]).tolist()
    return math.degrees(math.atan2(abs(y), abs(x)))


def side_ratio(quad: Quad) -> float:
    """Return the mean length of a quad's two longer sides over that of its two shorter ones."""
    lengths = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
    pairs = lengths[0] + lengths[2], lengths[1] + lengths[3]
    return float(max(pairs) / max(min(pairs), 1e-9))


def plate_height(quad: Quad) -> float:
    """Return the mean length of a quad's two shorter sides, px."""
    lengths = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
    return float(min(lengths[0] + lengths[2], lengths[1] + lengths[3]) / 2)
