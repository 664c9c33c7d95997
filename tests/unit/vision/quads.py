"""Comparing quads, whatever OpenCV makes of those that are nearly the same."""

import cv2
import numpy as np
from numpy.typing import NDArray


def shared_part(inner: NDArray[np.float32], outer: NDArray[np.float32]) -> float:
    """Return the part of ``inner`` (4, 2) that lies in ``outer`` (4, 2), to within a per cent.

    OpenCV may find nothing in common of polygons that are nearly the same, to a thousandth of a
    pixel: so a slightly smaller ``inner`` is asked about.
    """
    middle = inner.mean(axis=0)
    smaller = (middle + (inner - middle) * 0.995).astype(np.float32)
    return float(cv2.intersectConvexConvex(smaller, outer)[0]) / cv2.contourArea(smaller)
