"""Lettering for drawn objects: words, numbers, panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from models.drawing.paste import Pixels
from models.drawing.plates import draw_text

Choice = TypeVar("Choice")

_WORDS = (
    "bakery", "market", "flowers", "taxi", "hotel", "sale", "apteka", "produkty", "bank", "cafe",
    "service", "open", "exit", "parking", "center", "studio", "pizza", "auto", "closed", "push",
    "pharmacy", "books", "welcome", "fresh", "no entry", "tickets", "coffee", "school", "rent",
)  # fmt: skip
COLOURS = (
    (200, 30, 35),
    (20, 70, 160),
    (25, 120, 60),
    (235, 190, 30),
    (245, 245, 245),
    (30, 30, 34),
    (120, 40, 110),
    (230, 110, 20),
)


def panel(width: int, height: int, colour: tuple[int, ...]) -> Pixels:
    """Return an opaque RGBA image of one colour."""
    image = np.zeros((height, width, 4), np.uint8)
    image[:] = (*colour, 255)
    return image


def write(
    image: Pixels,
    rng: np.random.Generator,
    text: str,
    box: tuple[int, int, int, int],
    ink: tuple[int, ...],
) -> None:
    """Write into a box (x, y, w, h) of an RGBA image, in place; the ink is opaque."""
    x, y, w, h = box
    mask = draw_text(text, w, h, rng, bold=bool(rng.random() < 0.6))[..., None] / 255.0
    region = image[y : y + h, x : x + w]
    region[..., :3] = (region[..., :3] * (1 - mask) + np.array(ink) * mask).astype(np.uint8)
    region[..., 3:] = np.maximum(region[..., 3:], (mask * 255).astype(np.uint8))


def digits(rng: np.random.Generator, pattern: str) -> str:
    """Return the pattern with a digit for every 9."""
    return "".join(str(rng.integers(0, 10)) if c == "9" else c for c in pattern)


def pick(rng: np.random.Generator, choices: Sequence[Choice]) -> Choice:
    """Return one of the choices."""
    return choices[int(rng.integers(0, len(choices)))]


def word(rng: np.random.Generator) -> str:
    """Return a word in capitals, as on shops, vehicles and clothes."""
    return pick(rng, _WORDS).upper()
