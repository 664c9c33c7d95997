"""Which views of an image the detector gets: the whole image, and closer views of a large one.

A small input makes small plates of a large photo invisible. Such an image gets further views at a
larger scale: the whole image if that fits one input, else tiles of one shape that overlap.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from consumer.vision.detect.backends.base import STRIDE
from consumer.vision.image.scaling import Pyramid, halved
from consumer.vision.views.letterbox import PADDING, letterbox, letterbox_shape, round_up
from consumer.vision.views.view import Pixels, View

Tiling = Literal["auto", "off", "on"]
TILINGS: tuple[Tiling, ...] = get_args(Tiling)

AUTO_FROM_PIXELS = 2_000_000
"""Smaller images get nothing beyond the whole view unless tiling is on."""
_AUTO_BASE_PIXELS, _AUTO_SHARE = 459_000, 0.2245
# Measured: a photo's other work and a forward pass both cost by the pixel, so that a share of the
# image's pixels is a share of its time; the base is for frames that are hardly larger than 2 MP.
# 1920 x 1080 is seen at 1280 x 720 and 4000 x 3000 at 2048 x 1536, for less than twice the whole
# time of one view, in float32 too.
_WORTHWHILE = 1.5  # a second view at less than this times the first one's scale shows little more
_FULL_AFTER = 4.0  # a larger step between two scales gets one between them
TILE_PIXELS = 1_800_000
"""Maximum pixels of one tile, so that memory of a forward pass stays bounded.

Measured on 12 megapixels with two passes at the same time: two tiles instead of one take 155 MiB
less, and 3 % more time of the whole image; three take 45 MiB less than two, and 5 % more time.
"""
OVERLAP = 160
"""Minimum overlap of neighbouring tiles, pixels of the tile. The whole view shows wider plates."""
_MAX_PARTS = 64


@dataclass(frozen=True, slots=True)
class Closeup:
    """An image scaled to ``height`` x ``width``, in ``rows`` x ``columns`` equal tiles."""

    height: int
    width: int
    tile_height: int
    tile_width: int
    rows: int
    columns: int

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return self.rows * self.columns

    @property
    def tile_pixels(self) -> int:
        """Pixels of all tiles together: the detector's work."""
        return self.tiles * self.tile_height * self.tile_width


def closeups(height: int, width: int, imgsz: int, tiling: Tiling) -> list[Closeup]:
    """Return the closer views that an image gets beside the whole one at input size ``imgsz``."""
    whole = imgsz / max(height, width)
    auto = _auto_scale(height, width)
    scales: list[float] = []
    if tiling == "auto" and height * width >= AUTO_FROM_PIXELS and auto >= whole * _WORTHWHILE:
        scales = [auto]
    if tiling == "on" and whole < 1:
        between = whole * _FULL_AFTER < 1 and whole * _WORTHWHILE <= auto < 1
        scales = [auto, 1.0] if between else [1.0]
    return [closeup(height, width, scale) for scale in scales]


def closeup(height: int, width: int, scale: float) -> Closeup:
    """Return the tiles of an image at ``scale``: as few pixels as the overlap allows."""
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    return min(_divisions(height, width), key=lambda it: (it.tile_pixels, it.tiles))


def view_bytes(height: int, width: int, imgsz: int, tiling: Tiling) -> int:
    """Return the memory that the views of an image take, in bytes, and their copies in a batch.

    Of the turned views only those of one turn exist at a time.
    """
    box_height, box_width = letterbox_shape(height, width, imgsz)
    # The whole view itself, turned and in a batch; at half its scale it takes a quarter of that.
    pixels = 4 * box_height * box_width
    for near in closeups(height, width, imgsz, tiling):
        pixels += near.height * near.width + 2 * near.tile_pixels
    return 3 * pixels + height * width  # the image's pyramid, without the image


def views(image: Pyramid, imgsz: int, tiling: Tiling) -> list[View]:
    """Return the views of an image: the whole letterbox first, then the tiles.

    Tiles may share memory with the image, which must not change while they are in use.
    """
    boxed = letterbox(image, imgsz)
    whole = View(boxed.pixels, (boxed.scale, boxed.scale), (boxed.offset_x, boxed.offset_y))
    found = [whole]
    height, width = image.rgb.shape[:2]
    for near in closeups(height, width, imgsz, tiling):
        found += _tiles(image, near)
    return found


def half(whole: View) -> View:
    """Return the whole view at half its scale.

    A network knows plates of the sizes that it was trained on: some that are large in the whole
    view are found only here.
    """
    pixels, top, left = on_grey(halved(whole.pixels))
    scale, offset = whole.scale, whole.offset
    return View(
        pixels, (scale[0] / 2, scale[1] / 2), (offset[0] / 2 + left, offset[1] / 2 + top)
    )  # fmt: skip


def _auto_scale(height: int, width: int) -> float:
    pixels, longest = height * width, max(height, width)
    scale = float(min(1.0, ((_AUTO_BASE_PIXELS + _AUTO_SHARE * pixels) / pixels) ** 0.5))
    # A long side that fills its input wastes nothing on padding.
    return (int(longest * scale) // STRIDE * STRIDE) / longest if scale < 1 else scale


def _divisions(height: int, width: int) -> Iterator[Closeup]:
    """Yield, for each number of rows, the fewest columns that make the tiles small enough."""
    for rows in range(1, _MAX_PARTS):
        tile_height = _side(height, rows)
        for columns in range(1, _MAX_PARTS):
            tile_width = _side(width, columns)
            if tile_height * tile_width <= TILE_PIXELS:
                yield Closeup(height, width, tile_height, tile_width, rows, columns)
                if columns == 1:
                    return  # more rows would only add overlap
                break


def _side(length: int, parts: int) -> int:
    """Return the side of ``parts`` tiles that cover ``length`` with overlap."""
    return round_up(-(-(length + (parts - 1) * OVERLAP) // parts))


def _starts(length: int, side: int, parts: int) -> list[int]:
    """Return where tiles begin: evenly, the last ends where the image does."""
    return [round(i * (length - side) / (parts - 1)) for i in range(parts)] if parts > 1 else [0]


def _tiles(image: Pyramid, near: Closeup) -> Iterator[View]:
    height, width = image.rgb.shape[:2]
    # Scaled once and then sliced: tiles of their own would scale what they share twice.
    rgb = image.resized(near.height, near.width)
    scale = near.width / width, near.height / height
    tile_height, tile_width = near.tile_height, near.tile_width
    for top in _starts(near.height, tile_height, near.rows):
        for left in _starts(near.width, tile_width, near.columns):
            part = rgb[top : top + tile_height, left : left + tile_width]
            right, bottom = left + tile_width < near.width, top + tile_height < near.height
            pixels, pad_y, pad_x = on_grey(part, tile_height, tile_width)
            offset = pad_x - left, pad_y - top
            yield View(pixels, scale, offset, (left > 0, top > 0, right, bottom))


def on_grey(part: Pixels, height: int = 0, width: int = 0) -> tuple[Pixels, int, int]:
    """Return ``part`` centred on grey of at least ``height`` x ``width``, and its top and left.

    It is returned as it is if there is nothing to add to make both sides multiples of the stride.
    """
    height, width = round_up(max(height, part.shape[0])), round_up(max(width, part.shape[1]))
    top, left = (height - part.shape[0]) // 2, (width - part.shape[1]) // 2
    if part.shape[:2] == (height, width):
        return part, top, left
    pixels = np.full((height, width, 3), PADDING, np.uint8)
    pixels[top : top + part.shape[0], left : left + part.shape[1]] = part
    return pixels, top, left
