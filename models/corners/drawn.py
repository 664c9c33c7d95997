"""Drawn candidates for the second stage: plates in a known perspective, and objects like plates."""

from __future__ import annotations

import cv2
import numpy as np

from models.dataset import Quads
from models.drawing.lettering import word, write
from models.drawing.paste import Pixels, paste, project, quad_size, shrink_to
from models.drawing.plates import (
    BLACK,
    BLUE,
    GREEN,
    RED,
    WHITE,
    YELLOW,
    Band,
    Field,
    Style,
    draw_plate,
    pick_style,
)
from models.drawing.styles import REGIONS, STYLES, TWO_ROW
from models.drawing.wear import obstruct, weather
from models.training import lookalikes
from models.training.synthesis import backing

_UNIT = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
_PATTERNS = (
    "##AA###",
    "AA 99 AA",
    "###",
    "~~ ##",
    "~~###",
    "##-A#",
    "AAA##",
    "####",
    "~~~~",
    "A## ###",
)
_COLOURS = (
    (WHITE, BLACK), (WHITE, BLACK), (WHITE, BLUE), (WHITE, RED), (YELLOW, BLACK), (BLACK, WHITE),
    (BLUE, WHITE), (GREEN, WHITE), (WHITE, GREEN), (RED, WHITE), (BLACK, YELLOW),
    ((205, 205, 200), BLACK),
)  # fmt: skip


def random_style(rng: np.random.Generator) -> Style:
    """Return a made-up kind of plate: one or two rows, any colours, from square to very long."""
    two_rows = bool(rng.random() < 0.6)
    height = float(rng.uniform(110, 200))
    width = height * float(rng.uniform(1.0, 2.1) if two_rows else rng.uniform(2.0, 5.0))
    ground, ink = _COLOURS[int(rng.integers(0, len(_COLOURS)))]
    pad = height * float(rng.uniform(0.06, 0.16))
    rows = 2 if two_rows else 1
    header = height * float(rng.uniform(0.12, 0.3)) if rng.random() < 0.3 else 0.0
    tall = (height - header - pad * (rows + 1)) / rows
    fields = []
    for row in range(rows):
        pattern = _PATTERNS[int(rng.integers(0, len(_PATTERNS)))]
        inset = float(rng.uniform(0, 0.15)) * width
        y = header + pad + row * (tall + pad)
        fields.append(Field(pad + inset, y, width - 2 * pad - 2 * inset, tall, pattern))
    bands: tuple[Band, ...] = ()
    if header:
        tone = _COLOURS[int(rng.integers(0, len(_COLOURS)))][0]
        bands = (Band(0, 0, width, header, tone),)
        fields.append(
            Field(
                pad * 2,
                header * 0.2,
                width * 0.5,
                header * 0.6,
                "~~~ AAA",
                ink=WHITE if sum(tone) < 400 else BLACK,
            )
        )
    return Style(
        "random", width, height, ground, ink, tuple(fields), bands,
        border=float(rng.choice([0.0, 0.0, 3.0, 5.0])), ground_to=None,
    )  # fmt: skip


def choose_style(rng: np.random.Generator) -> Style:
    """Return a style: half of them those of countries, weighted as in training, half made up."""
    draw = rng.random()
    if draw < 0.45:
        return pick_style(rng, STYLES, REGIONS)
    if draw < 0.6:
        return STYLES[int(rng.integers(0, len(STYLES)))]
    if draw < 0.72:
        return TWO_ROW[int(rng.integers(0, len(TWO_ROW)))]
    return random_style(rng)


def _frame(rng: np.random.Generator, rgb: Pixels, quad: Quads, style: Style) -> None:
    """Paste a plate's frame: a panel around it, often with the dealer's name below."""
    left, top = (float(rng.uniform(3, 16)) for _ in range(2))
    bottom = float(rng.uniform(3, 16) if rng.random() < 0.5 else rng.uniform(14, 40))
    width, height = style.w + 2 * left, style.h + top + bottom
    tone = rng.choice(
        [rng.uniform(8, 60), rng.uniform(90, 170), rng.uniform(190, 245)], p=[0.6, 0.2, 0.2]
    )
    panel = np.zeros((round(height), round(width), 4), np.uint8)
    panel[..., :3] = np.clip(tone * np.exp(rng.normal(0, 0.05, 3)), 0, 255)
    panel[..., 3] = 255
    if bottom > 14 and rng.random() < 0.7:
        ink = (235, 235, 235) if tone < 120 else (30, 30, 30)
        tall = max(4, round(bottom * 0.5))
        box = (round(width * 0.2), round(height - bottom * 0.8), round(width * 0.6), tall)
        write(panel, rng, word(rng), box, ink)
    outer = np.array(
        [
            [-left, -top],
            [style.w + left, -top],
            [style.w + left, style.h + bottom],
            [-left, style.h + bottom],
        ],
        np.float32,
    ) / np.array([style.w, style.h], np.float32)
    matrix = cv2.getPerspectiveTransform(_UNIT, np.asarray(quad, np.float32))
    wide, high = quad_size(quad)
    panel = weather(rng, shrink_to(panel, 1.5 * wide, 1.5 * high), float(rng.uniform(60, 140)))
    paste(rgb, panel, project(np.asarray(matrix, np.float64), np.asarray(outer, np.float32)))


def _bolts(rng: np.random.Generator, plate: Pixels) -> None:
    height, width = plate.shape[:2]
    radius = max(2, round(height * float(rng.uniform(0.03, 0.06))))
    tone = float(rng.uniform(30, 230))
    y = round(height * float(rng.choice([0.12, 0.5, 0.85])))
    for x in (0.08, 0.92) if rng.random() < 0.6 else (0.25, 0.75):
        cv2.circle(plate, (round(width * x), y), radius, (tone, tone, tone, 255), -1, cv2.LINE_AA)


def _bent(rng: np.random.Generator, plate: Pixels) -> Pixels:
    """Return a plate with waves; its corners stay."""
    height, width = plate.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    size = float(rng.uniform(0.01, 0.04)) * height
    wave = size * np.sin(np.pi * x / width * float(rng.integers(1, 4)))
    return np.asarray(
        cv2.remap(plate, x, y + wave, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8
    )


def erase(rng: np.random.Generator, rgb: Pixels, quad: Quads) -> None:
    """Fill the upright bounds of a quad with a ramp between the rows above and below, in place."""
    height, width = rgb.shape[:2]
    grown = quad.mean(0) + (quad - quad.mean(0)) * 1.2
    left, top = np.clip(np.floor(grown.min(0)).astype(int) - 1, 0, [width - 1, height - 1]).tolist()
    right, bottom = np.clip(np.ceil(grown.max(0)).astype(int) + 1, 1, [width, height]).tolist()
    if right <= left or bottom <= top:
        return
    above = rgb[max(0, top - 1), left:right].astype(np.float32)
    below = rgb[min(height - 1, bottom), left:right].astype(np.float32)
    ramp = np.linspace(0, 1, bottom - top, dtype=np.float32)[:, None, None]
    fill = above[None] * (1 - ramp) + below[None] * ramp
    fill = cv2.blur(fill, (max(1, (right - left) // 6), 1)).reshape(bottom - top, right - left, 3)
    rgb[top:bottom, left:right] = (
        (fill + rng.normal(0, 2, fill.shape[:2])[..., None]).clip(0, 255).astype(np.uint8)
    )


def put_plate(rng: np.random.Generator, rgb: Pixels, quad: Quads, style: Style) -> None:
    """Draw a plate with what is around it and in front of it, its corners at ``quad``."""
    brightness = float(rgb.mean())
    if rng.random() < 0.5:
        backing(rng, rgb, quad)
    if rng.random() < 0.45:
        _frame(rng, rgb, quad, style)
    plate, _ = draw_plate(rng, style, void=False)
    width, height = quad_size(quad)
    plate = shrink_to(plate, 1.5 * width, 1.5 * height)
    if rng.random() < 0.3:
        _bolts(rng, plate)
    if rng.random() < 0.15:
        plate = _bent(rng, plate)
    if rng.random() < 0.08:  # headlights: the plate is the brightest of the picture
        rgb[:] = (rgb * float(rng.uniform(0.1, 0.4))).astype(np.uint8)
        plate[..., :3] = np.clip(plate[..., :3] * float(rng.uniform(1.0, 1.5)), 0, 255)
        paste(rgb, plate, quad)
    else:
        paste(rgb, weather(rng, plate, brightness), quad)
    if rng.random() < 0.18:
        obstruct(rng, rgb, quad)


def lookalike(rng: np.random.Generator) -> Pixels:
    """Return an object (h, w, 4) with letters or panes that is not a plate."""
    draw = lookalikes.DRAW[int(rng.integers(0, len(lookalikes.DRAW)))]
    return draw(rng)
