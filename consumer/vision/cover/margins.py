"""Margins of a cover around the detected plate.

A cover that is a little too large does little harm, but an uncovered edge of a plate can be read.
So a cover grows by the uncertainty of the detection and by a fixed margin, and at a small tilt
towards the upright rectangle around the plate.
"""

import numpy as np
from numpy.typing import NDArray

from consumer.vision.detect.heads import Array
from consumer.vision.detect.obb import Detections

DEFAULT_PADDING = 0.06
"""Default of COVER_PADDING: part of the plate's height."""
UNCERTAINTY = 0.5
"""Standard deviations of each side's position by which a cover grows."""
MAX_FREE = 0.04
"""Maximum part of the upright rectangle that a cover leaves free at a small tilt."""
_UPRIGHT_ENDS, _UPRIGHT_FADES = 25.0, 45.0  # degrees
_SLACK = 1e-6


def cover_quads(found: Detections, padding: float) -> Array:
    """Return the quads (N, 4, 2) to cover for the plates of an image, in its pixels.

    ``padding``: margin on all sides beyond where the plate may end, as part of its height.
    """
    return upright_grown(padded(found.quads + UNCERTAINTY * found.spread, padding))


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
    """Return parallelograms (N, 4, 2) that contain the rectangles ``quads``, grown to be upright.

    Their corners move towards those of the upright bounds until ``MAX_FREE`` of the bounds is free:
    not at all for a level plate, hardly more than its margin at 2 degrees. The tilt of a small
    plate is the least certain of its measures, and people label tilted plates with upright
    rectangles. Steep plates are certainly tilted, and their bounds would be many times the plate:
    from 25° on the growth fades out. Plates on end, in an image on its side, grow like level ones.
    """
    low, high = quads.min(axis=1), quads.max(axis=1)
    bounds = np.stack((low, _corner(high, low), high, _corner(low, high)), 1)
    # The nearest corner of the bounds: they run clockwise too, but may start elsewhere.
    turns = [np.roll(bounds, -turn, axis=1) for turn in range(4)]
    nearest = np.argmin([np.linalg.norm(t - quads, axis=2).sum(axis=1) for t in turns], axis=0)
    goals = np.stack(turns)[nearest, np.arange(len(quads))]
    free = 1 - _area(quads) / np.maximum((high - low).prod(axis=1), _SLACK)
    share = np.clip(1 - MAX_FREE / np.maximum(free, _SLACK), 0, 1)
    tilt = _tilt(quads)
    share *= np.interp(np.minimum(tilt, 90 - tilt), (_UPRIGHT_ENDS, _UPRIGHT_FADES), (1, 0))
    return _holding(quads + (goals - quads) * share[:, None, None], quads)


def _holding(quads: NDArray[np.float64], inner: Array) -> Array:
    """Return parallelograms enlarged about their centres until they contain ``inner``."""
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
    """Return the angle between the longer sides and the horizontal, 0..90 degrees."""
    sides = np.roll(quads, -1, axis=1)[:, :2] - quads[:, :2]
    longer = np.linalg.norm(sides, axis=2).argmax(axis=1)
    x, y = np.abs(sides[np.arange(len(quads)), longer].astype(np.float64)).T
    return np.asarray(np.degrees(np.arctan2(y, x)), np.float64)
