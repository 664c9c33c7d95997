"""Whether coding shows: likeness (SSIM) of results to their originals, where nothing is covered.

The services report what they cover; it is not guessed from the pixels. A threshold on the
difference would take gross coding errors for covers, and would miss parts of covers that look like
the image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import cv2
import numpy as np
from numpy.typing import NDArray

from consumer.errors import ImageError
from consumer.vision.image.decoder import MAX_SIDE, decode
from consumer.vision.image.scan import orientation, scan
from tests.bench.processes import BenchError

Luma = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Quads = Sequence[Sequence[Sequence[float]]]
"""Corners x, y in pixels of the image."""

# As Wang et al. (2004) define it, so that figures compare with those of other tools.
_REACH, _SIGMA = 5, 1.5
_WINDOW = (2 * _REACH + 1, 2 * _REACH + 1)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_STRIP_ROWS = 256
_CODED_TOGETHER = 16
"""Side of the blocks that WebP codes: the edge of a cover shows in all of its block."""


@dataclass(frozen=True)
class ServedImage:
    """A service's result for an image, and its covers; None if it does not report them."""

    image: bytes
    covers: Quads | None


def compare(originals: Sequence[bytes], *services: Sequence[ServedImage]) -> list[float] | None:
    """Return the mean SSIM of each service's results, over what none of the services covers.

    Each service has one result for each original. None if no image can be compared. Images
    that are turned, see-through or have a colour profile are left out: a simple service returns
    other pixels there, which is not a loss by coding.
    """
    values: list[list[float]] = []
    for original, *results in zip(originals, *services, strict=True):
        if not _is_plain(original):
            continue
        before = _luma(original)
        free = uncovered(before.shape, [quad for it in results for quad in it.covers or ()])
        if not free.any():
            continue
        values.append([])
        for result in results:
            after = _luma(result.image)
            if after.shape != before.shape:
                raise BenchError(f"of {before.shape} pixels a service made {after.shape}")
            values[-1].append(ssim(before, after, free))
    return [fmean(column) for column in zip(*values, strict=True)] or None


def uncovered(shape: tuple[int, ...], covers: Quads) -> Mask:
    """Return which pixels of an image (rows, columns) no cover has changed, also by coding."""
    free = np.ones(shape, np.uint8)
    for quad in covers:  # one by one: drawn together, they would cancel out where they overlap
        cv2.fillConvexPoly(free, np.rint(np.array(quad)).astype(np.int32), (0,))
    margin = _CODED_TOGETHER + _REACH
    free = cv2.erode(free, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))  # type: ignore[assignment]
    return free.astype(np.bool_)


def ssim(one: Luma, other: Luma, where: Mask) -> float:
    """Return the mean structural similarity over the pixels of ``where``, of which there are some.

    In strips: all at once, 12 megapixels would take half a gigabyte.
    """
    total = 0.0
    for top in range(0, len(one), _STRIP_ROWS):
        first, last = max(top - _REACH, 0), top + _STRIP_ROWS + _REACH
        values = _ssim_map(one[first:last], other[first:last])[top - first :][:_STRIP_ROWS]
        total += float(values[where[top : top + _STRIP_ROWS]].sum(dtype=np.float64))
    return total / int(where.sum())


def _ssim_map(one: Luma, other: Luma) -> NDArray[np.float32]:
    x, y = one.astype(np.float32), other.astype(np.float32)
    mean_x, mean_y = _blurred(x), _blurred(y)
    products, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = _blurred(x * y) - products
    variances = _blurred(x**2 + y**2) - squares
    alike = (2 * products + _C1) * (2 * covariance + _C2)
    return np.asarray(alike / ((squares + _C1) * (variances + _C2)), np.float32)


def _blurred(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, _WINDOW, _SIGMA), np.float32)


def _luma(data: bytes) -> Luma:
    try:
        rgb = decode(data, max_pixels=MAX_SIDE**2).rgb
    except ImageError as error:
        raise BenchError(f"a result cannot be compared: {error}") from error
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def _is_plain(data: bytes) -> bool:
    container = scan(data)
    return not container.icc and not container.alpha and orientation(container.exif) == 1
