"""Draw licence plates with fictitious texts: an RGBA image from a style and a random generator.

Sizes follow the standards (Russia: GOST R 50577-2018; EU: 520 x 110 mm). The letters are Pillow's
built-in typeface, squeezed into equal cells, so the images are the same on every machine. Made-up
signs replace scripts that this typeface lacks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from models.drawing.paste import Pixels

RGB = tuple[int, int, int]

WHITE: RGB = (244, 245, 244)
BLACK: RGB = (22, 22, 24)
YELLOW: RGB = (250, 200, 20)
BLUE: RGB = (14, 60, 150)
RED: RGB = (190, 25, 35)
GREEN: RGB = (20, 110, 60)

PIXELS_PER_MM = 1.0
_GLYPH_PX = 160
_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"


@dataclass(frozen=True)
class Field:
    """Text in a box (x, y, width, height in mm, y downwards from the top edge).

    ``pattern``: ``#`` digit of the serial number, ``9`` other digit, ``A`` letter, ``~`` made-up
    sign; other characters are written as they are, in upper case.
    """

    x: float
    y: float
    w: float
    h: float
    pattern: str
    ink: RGB | None = None


@dataclass(frozen=True)
class Band:
    """A filled rectangle in mm."""

    x: float
    y: float
    w: float
    h: float
    colour: RGB


@dataclass(frozen=True)
class Style:
    """A kind of plate: size in mm, colours, bands below the text, and text fields."""

    name: str
    w: float
    h: float
    ground: RGB
    ink: RGB
    fields: tuple[Field, ...]
    bands: tuple[Band, ...] = ()
    border: float = 3.0
    letters: str = _LETTERS
    ground_to: RGB | None = None
    region: str = "other"


@lru_cache(maxsize=256)
def _glyph(char: str, *, bold: bool) -> Pixels:
    """Return the ink of a character as an 8-bit mask cropped to its bounding box."""
    font = ImageFont.load_default(_GLYPH_PX)
    image = Image.new("L", (3 * _GLYPH_PX, 3 * _GLYPH_PX))
    ImageDraw.Draw(image).text(
        (_GLYPH_PX, _GLYPH_PX),
        char,
        fill=255,
        font=font,
        stroke_width=7 if bold else 2,
        stroke_fill=255,
    )
    box = image.getbbox() or (0, 0, 1, 1)
    return np.asarray(image.crop(box), dtype=np.uint8)


def made_up_glyph(rng: np.random.Generator) -> Pixels:
    """Return a mask of a few thick strokes, like a foreign script at the size of a plate."""
    mask = np.zeros((_GLYPH_PX, _GLYPH_PX), np.uint8)
    for _ in range(int(rng.integers(3, 7))):
        kind = rng.integers(0, 3)
        a, b = (rng.uniform(0.1, 0.9, 2) * _GLYPH_PX).astype(int).tolist()
        c = int(rng.uniform(0.1, 0.9) * _GLYPH_PX)
        if kind == 0:
            cv2.line(mask, (a, c), (b, c), 255, 13, cv2.LINE_AA)
        elif kind == 1:
            cv2.line(mask, (c, a), (c, b), 255, 13, cv2.LINE_AA)
        else:
            cv2.circle(mask, (a, b), int(rng.uniform(12, 40)), 255, 12, cv2.LINE_AA)
    return mask


def draw_text(
    text: str, width: int, height: int, rng: np.random.Generator, *, bold: bool = True
) -> Pixels:
    """Return a mask (height, width) of ``text`` in equal cells, squeezed to fill the box."""
    mask = np.zeros((height, width), np.uint8)
    cell = width / max(1, len(text))
    for place, char in enumerate(text):
        if char == " ":
            continue
        glyph = made_up_glyph(rng) if char == "~" else _glyph(char, bold=bold)
        tall = height if char.isalnum() or char == "~" else max(2, round(height * 0.15))
        natural = glyph.shape[1] * tall / glyph.shape[0]
        wide = max(1, round(min(0.86 * cell, natural * 1.25)))
        small = cv2.resize(glyph, (wide, tall), interpolation=cv2.INTER_AREA)
        x = min(max(0, round((place + 0.5) * cell - wide / 2)), max(0, width - wide))
        y = (height - tall) // 2
        region = mask[y : y + tall, x : x + wide]
        np.maximum(region, small[: region.shape[0], : region.shape[1]], out=region)
    return mask


def fill_pattern(pattern: str, letters: str, rng: np.random.Generator, *, void: bool = True) -> str:
    """Return a text for ``pattern`` (see ``Field``).

    With ``void`` the serial number is all zeros, which no authority issues.
    """
    out = []
    for char in pattern:
        if char == "#":
            out.append("0" if void else str(rng.integers(0, 10)))
        elif char == "9":
            out.append(str(rng.integers(1, 10)))
        elif char == "A":
            out.append(letters[int(rng.integers(0, len(letters)))])
        else:
            out.append(char.upper())
    return "".join(out)


def _ground(style: Style, height: int, width: int) -> npt.NDArray[np.float32]:
    """Return the painted plate without text, (height, width, 3)."""
    top = np.array(style.ground, np.float32)
    bottom = np.array(style.ground_to or style.ground, np.float32)
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    image = np.broadcast_to(top * (1 - ramp) + bottom * ramp, (height, width, 3)).copy()
    for band in style.bands:
        x, y = round(band.x * PIXELS_PER_MM), round(band.y * PIXELS_PER_MM)
        x2 = round((band.x + band.w) * PIXELS_PER_MM)
        y2 = round((band.y + band.h) * PIXELS_PER_MM)
        image[y:y2, x:x2] = band.colour
    return image


def _rounded(height: int, width: int, inset: float, radius: float) -> npt.NDArray[np.float32]:
    """Return an anti-aliased mask of a rectangle with round corners, 0..1."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) + 0.5
    dx = np.abs(x - width / 2) - (width / 2 - inset - radius)
    dy = np.abs(y - height / 2) - (height / 2 - inset - radius)
    outside = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) - radius
    inside = np.minimum(np.maximum(dx, dy), 0)
    mask: npt.NDArray[np.float32] = np.clip(0.5 - (outside + inside), 0, 1).astype(np.float32)
    return mask


def draw_plate(rng: np.random.Generator, style: Style, *, void: bool = True) -> tuple[Pixels, str]:
    """Draw a plate; return its image (H, W, 4) RGBA at 1 px per mm, and its text.

    The corners of the plate are the corners of the array.
    """
    height, width = round(style.h * PIXELS_PER_MM), round(style.w * PIXELS_PER_MM)
    image = _ground(style, height, width)
    if style.border > 0:
        rim = 1 - _rounded(height, width, 2 + style.border, 8)
        rim *= _rounded(height, width, 2, 10)
        image += rim[..., None] * (np.array(style.ink, np.float32) - image)
    texts = []
    for field in style.fields:
        text = fill_pattern(field.pattern, style.letters, rng, void=void)
        texts.append(text)
        w, h = max(2, round(field.w * PIXELS_PER_MM)), max(2, round(field.h * PIXELS_PER_MM))
        x, y = round(field.x * PIXELS_PER_MM), round(field.y * PIXELS_PER_MM)
        mask = draw_text(text, w, h, rng).astype(np.float32)[..., None] / 255
        region = image[y : y + h, x : x + w]
        mask = mask[: region.shape[0], : region.shape[1]]
        ink = np.array(field.ink or style.ink, np.float32)
        region += mask * (ink - region)
    alpha = _rounded(height, width, 0, 9) * 255
    rgba = np.dstack([image, alpha]).clip(0, 255)
    return np.rint(rgba).astype(np.uint8), " ".join(texts)


def pick_style(
    rng: np.random.Generator, styles: tuple[Style, ...], regions: Mapping[str, float]
) -> Style:
    """Return a random style of a region that is chosen by the weights of ``regions``."""
    present = [r for r in regions if any(s.region == r for s in styles)]
    weights = np.array([regions[r] for r in present], np.float64)
    region = present[int(rng.choice(len(present), p=weights / weights.sum()))]
    choice = [s for s in styles if s.region == region]
    return choice[int(rng.integers(0, len(choice)))]
