"""How far a cover reaches beyond the plate that was found.

Covering a little too much costs little, and an uncovered edge of a plate may be read. So a cover
grows by what the network is unsure of, by a margin that is always there, and where the plate is
tilted, towards the upright rectangle around it.
"""

import numpy as np
from numpy.typing import NDArray

from consumer.vision.heads import Array
from consumer.vision.obb import Detections

DEFAULT_PADDING = 0.06
"""COVER_PADDING as it comes: part of the plate's height."""
UNSURE = 0.5
"""Standard deviations of each side's place by which a cover reaches further."""
FREE = 0.04
"""Most of the upright rectangle around a cover that it leaves free at a small tilt."""
_UPRIGHT_ENDS, _UPRIGHT_FADES = 25.0, 45.0  # degrees
_SLACK = 1e-6


def cover_quads(found: Detections, padding: float) -> Array:
    """Return the quads (N, 4, 2) to cover for the plates of an image, in its pixels.

    ``padding``: margin on all sides beyond where the plate may end, as part of its height.
    """
    return upright_grown(padded(found.quads + UNSURE * found.spread, padding))


def padded(quads: Array, padding: float) -> Array:
    """Return rectangles (N, 4, 2) grown on all sides by ``padding`` of their shorter one."""
    across = (quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]) / 2
    down = (quads[:, 3] - quads[:, 0] + quads[:, 2] - quads[:, 1]) / 2
    sides = np.stack((across, down), 1)  # (N, 2 sides, xy)
    lengths = np.linalg.norm(sides, axis=2).clip(_SLACK)
    margin = padding * lengths.min(axis=1)[:, None]
    across, down = np.moveaxis(sides / lengths[..., None] * margin[..., None], 1, 0)
    shifts = np.stack((-across - down, across - down, across + down, down - across), 1)
    return np.asarray(quads + shifts, np.float32)


def upright_grown(quads: Array) -> Array:
    """Return parallelograms (N, 4, 2) that hold the rectangles ``quads``, grown to be more upright.

    Their corners move towards those of the upright bounds, by as much as leaves ``FREE`` of the
    bounds uncovered: nothing for a level plate, hardly more than its margin at 2 degrees. A tilt is
    the hardest thing to tell of a small plate, and those who label plates draw upright rectangles
    around tilted ones. Steeper plates are tilted beyond doubt, and their bounds would be many times
    the plate: from 25° on that fades. Plates that stand on end, in an image that lies on its side,
    grow just as those that are level.
    """
    low, high = quads.min(axis=1), quads.max(axis=1)
    bounds = np.stack((low, _corner(high, low), high, _corner(low, high)), 1)
    # Each corner's own one: the bounds' corners run clockwise too, but may start elsewhere.
    turns = [np.roll(bounds, -turn, axis=1) for turn in range(4)]
    nearest = np.argmin([np.linalg.norm(t - quads, axis=2).sum(axis=1) for t in turns], axis=0)
    goals = np.stack(turns)[nearest, np.arange(len(quads))]
    free = 1 - _area(quads) / np.maximum((high - low).prod(axis=1), _SLACK)
    share = np.clip(1 - FREE / np.maximum(free, _SLACK), 0, 1)
    tilt = _tilt(quads)
    share *= np.interp(np.minimum(tilt, 90 - tilt), (_UPRIGHT_ENDS, _UPRIGHT_FADES), (1, 0))
    return _holding(quads + (goals - quads) * share[:, None, None], quads)


def _holding(quads: NDArray[np.float64], inner: Array) -> Array:
    """Return parallelograms enlarged about their centres until they hold others of the same."""
    centres = quads.mean(axis=1, keepdims=True)
    sides = np.roll(quads, -1, axis=1) - quads
    outwards = np.stack((sides[..., 1], -sides[..., 0]), 2)
    reach = np.einsum("nsd,nsd->ns", outwards, quads - centres)
    needed = np.einsum("nsd,ncd->nsc", outwards, inner - centres).max(axis=2)
    factor = np.maximum(1, (needed / np.maximum(reach, _SLACK)).max(axis=1, initial=1))
    return np.asarray(centres + (quads - centres) * factor[:, None, None], np.float32)


def _corner(x_of: Array, y_of: Array) -> Array:
    return np.stack((x_of[:, 0], y_of[:, 1]), 1)


def _area(quads: Array) -> NDArray[np.float64]:
    x, y = np.moveaxis(quads.astype(np.float64), 2, 0)
    following = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    return np.asarray(np.abs((x * following[1] - following[0] * y).sum(axis=1)) / 2, np.float64)


def _tilt(quads: Array) -> NDArray[np.float64]:
    """Return by how many degrees the longer sides are off the level, 0..90."""
    sides = np.roll(quads, -1, axis=1)[:, :2] - quads[:, :2]
    longer = np.linalg.norm(sides, axis=2).argmax(axis=1)
    x, y = np.abs(sides[np.arange(len(quads)), longer].astype(np.float64)).T
    return np.asarray(np.degrees(np.arctan2(y, x)), np.float64)
