"""How much two quads have in common."""

import cv2
import numpy as np

from consumer.vision.detect.heads import Array

_SLIGHTLY_SMALLER = 0.995


def shared_part(quad: Array, other: Array) -> float:
    """Return the part of a convex ``quad`` (4, 2) that lies in a convex ``other``, 0 to 1.

    To within a per cent: for quads that are equal to a thousandth of a pixel, OpenCV may return
    half or nothing, so it gets a slightly smaller ``quad``. 0 for one without area.
    """
    middle = quad.mean(axis=0)
    smaller = np.asarray(middle + (quad - middle) * _SLIGHTLY_SMALLER, np.float32)
    area = cv2.contourArea(smaller)
    if not area:
        return 0.0
    return min(1.0, float(cv2.intersectConvexConvex(smaller, other)[0]) / area)


def shared_area(quad: Array, other: Array) -> float:
    """Return the area that two convex quads (4, 2) have in common, to within a per cent of it."""
    return shared_part(quad, other) * cv2.contourArea(quad)
