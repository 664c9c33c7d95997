"""Cover plates: fill every pixel that a quad touches, then warp the stub image onto it.

No blur and no pixelation: both have been reversed. Coordinates are continuous: the pixel in column
i and row j is the square from (i, j) to (i + 1, j + 1).
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin

from consumer.errors import ConsumerError
from consumer.vision.image.decoder import Pixels

FILL: tuple[int, int, int] = (203, 207, 212)
"""RGB of the opaque fill, the background colour of the default stub image."""

_STRIP_ROWS = 256
_OPAQUE = 255
_SLACK = 1e-6
_LEVEL = 1e-9
_MAX_STUB_PIXELS = 4 << 20


class StubError(ConsumerError):
    """The stub image cannot be used."""


@dataclass(frozen=True, slots=True)
class Stub:
    """The image to put on plates: ``rgb`` uint8 (h, w, 3), upright.

    Its file may be transparent; here it is blended with the fill colour, so it is opaque.
    """

    rgb: Pixels


def load_stub(path: Path) -> Stub:
    """Read a PNG with or without alpha. Raises StubError if it is missing or not a small PNG."""
    try:
        with PngImagePlugin.PngImageFile(io.BytesIO(path.read_bytes())) as image:
            if image.width * image.height > _MAX_STUB_PIXELS:
                raise StubError(f"{path}: over {_MAX_STUB_PIXELS} pixels")
            rgba = np.asarray(image.convert("RGBA")).astype(np.float32)
    except (OSError, SyntaxError, ValueError) as error:
        raise StubError(f"{path}: not a readable PNG: {error}") from error
    alpha = rgba[..., 3:] / _OPAQUE
    flat = rgba[..., :3] * alpha + np.array(FILL, np.float32) * (1 - alpha)
    return Stub(np.ascontiguousarray(np.rint(flat), np.uint8))


def cover(
    rgb: Pixels, quads: NDArray[np.float32], *, stub: Stub | None, alpha: Pixels | None = None
) -> None:
    """Cover quads of an image in place; pixels that no quad touches do not change.

    ``rgb`` uint8 (H, W, 3). ``quads`` float32 (N, 4, 2) in its pixels, convex, from
    ``cover_quads``; the first lies on top where they overlap. ``stub`` None: only filled.
    ``alpha`` uint8 (H, W): set to opaque in the covers.

    Raises:
        ValueError: a corner is not finite, or an array is read-only.
    """
    if not np.isfinite(quads).all():
        raise ValueError("a quad is not finite")
    if not rgb.flags.writeable or (alpha is not None and not alpha.flags.writeable):
        raise ValueError("the image is read-only")
    for quad in quads[::-1]:
        fitted = None if stub is None else _fitted(stub.rgb, quad)
        for strip in _strips(quad, *rgb.shape[:2]):
            _cover_strip(rgb, quad, strip, fitted)
            if alpha is not None:
                alpha[strip.rows, strip.columns][strip.touched] = _OPAQUE


def touches(quad: NDArray[np.float32], height: int, width: int) -> bool:
    """Return whether a convex quad (4, 2) touches a pixel of an image of this size."""
    return any(strip.touched.any() for strip in _strips(quad, height, width))


@dataclass(frozen=True, slots=True)
class _Strip:
    """Some rows of a quad's bounding box, and a mask of the pixels that the quad touches."""

    rows: slice
    columns: slice
    touched: NDArray[np.bool_]


def _strips(quad: NDArray[np.float32], height: int, width: int) -> Iterator[_Strip]:
    """Yield the quad's part within the image; strips bound the memory for a large plate."""
    low = np.floor(quad.min(axis=0).clip(-1, (width + 1, height + 1))).astype(int)
    high = np.floor(quad.max(axis=0).clip(-1, (width + 1, height + 1))).astype(int) + 1
    left, right = max(low[0], 0), min(high[0], width)
    for top in range(max(low[1], 0), min(high[1], height), _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, high[1], height)
        if left < right:
            touched = _touched(quad, top, bottom, left, right)
            yield _Strip(slice(top, bottom), slice(left, right), touched)


def _touched(
    quad: NDArray[np.float32], top: int, bottom: int, left: int, right: int
) -> NDArray[np.bool_]:
    """Return a mask of the pixels in rows top..bottom and columns left..right that a quad touches.

    By separating axes: a pixel's square and a convex polygon do not touch only if the square lies
    on the outer side of an edge of the polygon, or of its bounding box.
    """
    hull = cv2.convexHull(quad, clockwise=False)[:, 0].astype(np.float64)
    middle = hull.mean(axis=0)
    x, y = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
    # Each edge cuts a row of pixels at one column.
    first, last = np.full(y.shape, float(left)), np.full(y.shape, float(right))
    for start, end in zip(hull, np.roll(hull, -1, axis=0), strict=True):
        normal = np.array((start[1] - end[1], end[0] - start[0]))
        if normal @ (middle - start) < 0:
            normal = -normal
        reach = np.abs(normal).sum() * (0.5 + _SLACK)
        needed = -reach - normal[1] * (y - start[1])
        # A level edge bounds rows, and the rows are the quad's already.
        if abs(normal[0]) > _LEVEL * abs(normal[1]):
            column = start[0] + needed / normal[0]
            np.maximum(first, column, out=first, where=normal[0] > 0)
            np.minimum(last, column, out=last, where=normal[0] < 0)
    return (x >= first[:, None]) & (x <= last[:, None])


def _cover_strip(
    rgb: Pixels, quad: NDArray[np.float32], strip: _Strip, stub: Pixels | None
) -> None:
    region = rgb[strip.rows, strip.columns]
    region[strip.touched] = FILL
    if stub is None:
        return
    height, width = stub.shape[:2]
    corners = np.array(((0, 0), (width, 0), (width, height), (0, height)), np.float32)
    # In warpPerspective the centre of a pixel has whole coordinates, half a pixel from ours.
    origin = np.array((strip.columns.start, strip.rows.start), np.float32)
    matrix = cv2.getPerspectiveTransform(corners - 0.5, (quad - origin - 0.5).astype(np.float32))
    size = (region.shape[1], region.shape[0])
    warped = cv2.warpPerspective(stub, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    cv2.copyTo(warped, strip.touched.view(np.uint8), region)


def _fitted(stub: Pixels, quad: NDArray[np.float32]) -> Pixels:
    """Return the stub reduced to the quad's size: warping alone would skip pixels of it."""
    sides = np.linalg.norm(quad[[1, 2]] - quad[[0, 1]], axis=1)
    width = int(np.clip(np.rint(sides[0]), 1, stub.shape[1]))
    height = int(np.clip(np.rint(sides[1]), 1, stub.shape[0]))
    if (height, width) == stub.shape[:2]:
        return stub
    return np.asarray(cv2.resize(stub, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
