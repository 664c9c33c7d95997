"""Covering plates: every pixel that a quad touches is filled, then the stub is warped onto it.

Neither blurred nor pixelated: both have been reversed. Points are continuous: pixel (column i,
row j) covers the square from (i, j) to (i + 1, j + 1).
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

Pixels = NDArray[np.uint8]

FILL: tuple[int, int, int] = (203, 207, 212)
"""RGB of the opaque fill, the ground colour of the stub that comes with the service."""

_STRIP_ROWS = 256
_OPAQUE = 255
_SLACK = 1e-6
_LEVEL = 1e-9
_MAX_STUB_PIXELS = 4 << 20


class StubError(ConsumerError):
    """The image to put on plates cannot be used."""


@dataclass(frozen=True, slots=True)
class Stub:
    """The image to put on plates: ``rgb`` uint8 (h, w, 3), upright.

    Transparent parts of the file have been laid over the fill colour, so it is opaque.
    """

    rgb: Pixels


def load_stub(path: Path) -> Stub:
    """Read a PNG with or without alpha. Raises StubError if it is missing or not such an image."""
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
    rgb: Pixels,
    quads: NDArray[np.float32],
    *,
    stub: Stub | None,
    alpha: Pixels | None = None,
) -> None:
    """Cover quads of an image in place; pixels that none of them touches stay as they are.

    ``rgb`` uint8 (H, W, 3). ``quads`` float32 (N, 4, 2) in its pixels, convex, as ``cover_quads``
    makes them: the first lies on top where they overlap. ``stub`` None: filled only. ``alpha``
    uint8 (H, W): made opaque there, so that no cover is see-through.
    Raises ValueError if a corner is not finite or the arrays cannot be written in place.
    """
    if not np.isfinite(quads).all():
        raise ValueError("a quad is not finite")
    if not rgb.flags.writeable or (alpha is not None and not alpha.flags.writeable):
        raise ValueError("the image is read-only")
    for quad in quads[::-1]:
        picture = None if stub is None else _fitted(stub.rgb, quad)
        for strip in _strips(quad, *rgb.shape[:2]):
            _cover_strip(rgb, quad, strip, picture)
            if alpha is not None:
                alpha[strip.rows, strip.columns][strip.touched] = _OPAQUE


@dataclass(frozen=True, slots=True)
class _Strip:
    """A few rows of a quad's bounding box, and which of their pixels the quad touches."""

    rows: slice
    columns: slice
    touched: NDArray[np.bool_]


def _strips(quad: NDArray[np.float32], height: int, width: int) -> Iterator[_Strip]:
    """Yield the quad's part within the image; strips bound the memory that a huge plate takes."""
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
    """Return which pixels of rows top..bottom and columns left..right the quad's hull touches.

    By separating axes: a pixel's square and a convex polygon are apart only if one edge of the
    polygon, or a side of its bounding box, has the square on its outer side.
    """
    hull = cv2.convexHull(quad, clockwise=False)[:, 0].astype(np.float64)
    middle = hull.mean(axis=0)
    x, y = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
    # Each edge leaves of a row of pixels only what lies on one side of a column.
    first, last = np.full(y.shape, float(left)), np.full(y.shape, float(right))
    for start, end in zip(hull, np.roll(hull, -1, axis=0), strict=True):
        normal = np.array((start[1] - end[1], end[0] - start[0]))
        if normal @ (middle - start) < 0:
            normal = -normal
        reach = np.abs(normal).sum() * (0.5 + _SLACK)
        needed = -reach - normal[1] * (y - start[1])
        # A level edge bounds rows, and the rows given are the quad's already.
        if abs(normal[0]) > _LEVEL * abs(normal[1]):
            column = start[0] + needed / normal[0]
            np.maximum(first, column, out=first, where=normal[0] > 0)
            np.minimum(last, column, out=last, where=normal[0] < 0)
    return (x >= first[:, None]) & (x <= last[:, None])


def _cover_strip(
    rgb: Pixels, quad: NDArray[np.float32], strip: _Strip, picture: Pixels | None
) -> None:
    region = rgb[strip.rows, strip.columns]
    region[strip.touched] = FILL
    if picture is None:
        return
    height, width = picture.shape[:2]
    corners = np.array(((0, 0), (width, 0), (width, height), (0, height)), np.float32)
    # warpPerspective puts a pixel's centre on whole numbers, half a pixel from where we do.
    origin = np.array((strip.columns.start, strip.rows.start), np.float32)
    matrix = cv2.getPerspectiveTransform(corners - 0.5, (quad - origin - 0.5).astype(np.float32))
    size = (region.shape[1], region.shape[0])
    warped = cv2.warpPerspective(picture, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    cv2.copyTo(warped, strip.touched.view(np.uint8), region)


def _fitted(picture: Pixels, quad: NDArray[np.float32]) -> Pixels:
    """Shrink the stub to the quad's size first: warping alone would skip its pixels."""
    sides = np.linalg.norm(quad[[1, 2]] - quad[[0, 1]], axis=1)
    width = int(np.clip(np.rint(sides[0]), 1, picture.shape[1]))
    height = int(np.clip(np.rint(sides[1]), 1, picture.shape[0]))
    if (height, width) == picture.shape[:2]:
        return picture
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
