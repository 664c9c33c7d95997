"""Hard negatives: drawn objects with letters that are not plates, added without a label."""

from __future__ import annotations

import cv2
import numpy as np

from models.drawing import objects
from models.drawing.lettering import COLOURS, digits, panel, pick, word, write
from models.drawing.paste import Pixels, paste
from models.drawing.wear import weather
from models.training.augment import Sample
from models.training.synthesis import overlaps, perspective_quad


def draw_round_sign(rng: np.random.Generator) -> Pixels:
    """Draw a speed limit or another round sign with a number."""
    image = np.zeros((120, 120, 4), np.uint8)
    cv2.circle(image, (60, 60), 58, (200, 25, 30, 255), -1, cv2.LINE_AA)
    cv2.circle(image, (60, 60), 45, (246, 246, 246, 255), -1, cv2.LINE_AA)
    write(image, rng, digits(rng, "90"), (26, 38, 68, 44), (20, 20, 22))
    return image


def draw_road_board(rng: np.random.Generator) -> Pixels:
    """Draw a direction board: blue, green or white, several lines with distances."""
    lines = int(rng.integers(2, 5))
    colour = pick(rng, ((20, 70, 160), (20, 110, 60), (245, 245, 245)))
    ink = (245, 245, 245) if colour[0] < 100 else (25, 30, 40)
    image = panel(280, 20 + 48 * lines, colour)
    for line in range(lines):
        write(image, rng, word(rng), (16, 16 + 48 * line, 170, 30), ink)
        write(image, rng, digits(rng, "99"), (214, 16 + 48 * line, 46, 30), ink)
    return image


def draw_shop_sign(rng: np.random.Generator) -> Pixels:
    """Draw a long shop sign, one or two words in strong colours."""
    colour = pick(rng, COLOURS)
    ink = pick(rng, COLOURS)
    text = f"{word(rng)} {word(rng)}" if rng.random() < 0.7 else word(rng)
    image = panel(46 * len(text) + 40, 90, colour)
    write(image, rng, text, (20, 20, 46 * len(text), 50), ink)
    return image


def draw_phone_number(rng: np.random.Generator) -> Pixels:
    """Draw a phone number as on a van: letters on the paint, without a panel."""
    formats = ("8-999-999-99-99", "+7 999 999-99-99", "99-99-99", "0800 999 999")
    text = digits(rng, pick(rng, formats))
    image = np.zeros((60, 34 * len(text), 4), np.uint8)
    write(image, rng, text, (0, 5, 34 * len(text), 50), pick(rng, COLOURS))
    return image


def draw_sticker(rng: np.random.Generator) -> Pixels:
    """Draw a bumper sticker: a coloured oval with a few letters."""
    image = np.zeros((80, 120, 4), np.uint8)
    colour = pick(rng, COLOURS)
    cv2.ellipse(image, (60, 40), (58, 38), 0, 0, 360, (*colour, 255), -1, cv2.LINE_AA)
    ink = (20, 20, 24) if sum(colour) > 380 else (245, 245, 245)
    write(image, rng, word(rng)[: int(rng.integers(1, 4))], (26, 22, 68, 36), ink)
    return image


def draw_grid(rng: np.random.Generator) -> Pixels:
    """Draw rows of equal panes, like windows, a grille, a fence, a radiator or shelves."""
    columns, rows = int(rng.integers(2, 9)), int(rng.integers(1, 7))
    wide, tall = int(rng.integers(16, 64)), int(rng.integers(12, 48))
    gap_x, gap_y = int(rng.integers(3, wide)), int(rng.integers(3, tall + 8))
    wall = float(rng.uniform(30, 225))
    image = panel(columns * (wide + gap_x) + gap_x, rows * (tall + gap_y) + gap_y, (0, 0, 0))
    image[..., :3] = (wall * np.exp(rng.normal(0, 0.08, 3))).clip(0, 255)
    tint = np.exp(rng.normal(0, 0.1, 3))
    pane = wall * float(np.exp(rng.choice([-0.6, 0.5]) + rng.normal(0, 0.25)))
    cross = rng.random() < 0.4
    for row in range(rows):
        for column in range(columns):
            x, y = gap_x + column * (wide + gap_x), gap_y + row * (tall + gap_y)
            tone = (pane * tint * float(np.exp(rng.normal(0, 0.15)))).clip(0, 255)
            image[y : y + tall, x : x + wide, :3] = tone
            if cross:
                image[y : y + tall, x + wide // 2 - 1 : x + wide // 2 + 1, :3] = 235
    return image


def stamp_time(rng: np.random.Generator, rgb: Pixels) -> None:
    """Write a camera's timestamp along an edge of the image, in place."""
    size = rgb.shape[0]
    formats = ("2099-99-99 99:99:99", "99/99/2099 99:99", "CAM 9  99:99:99")
    text = digits(rng, pick(rng, formats))
    height = int(rng.integers(8, 22))
    width = min(size - 8, int(height * 0.7 * len(text)))
    label = np.zeros((height + 4, width + 4, 4), np.uint8)
    if rng.random() < 0.4:
        label[..., 3] = 255
    ink = pick(rng, ((250, 250, 250), (250, 225, 60), (255, 150, 30)))
    write(label, rng, text, (2, 2, width, height), ink)
    x = int(rng.uniform(0, size - width - 4))
    y = 2 if rng.random() < 0.5 else size - height - 6
    corners = [[x, y], [x + width + 4, y], [x + width + 4, y + height + 4], [x, y + height + 4]]
    paste(rgb, label, np.array(corners, np.float32))


DRAW = (
    draw_round_sign,
    draw_road_board,
    draw_shop_sign,
    draw_phone_number,
    draw_sticker,
    draw_grid,
    *objects.DRAW,
)
_LARGE = (draw_grid, *objects.LARGE)


def add_lookalikes(rng: np.random.Generator, sample: Sample, count: int) -> Sample:
    """Return the sample with up to ``count`` look-alikes, not over plates."""
    rgb, size = sample.rgb.copy(), sample.rgb.shape[0]
    if rng.random() < 0.3 and not len(sample.quads):
        stamp_time(rng, rgb)
    for _ in range(count):
        draw = pick(rng, DRAW)
        image = draw(rng)
        max_height = 320 if draw in _LARGE else 90
        height = float(np.exp(rng.uniform(np.log(10), np.log(max_height))))
        x, y = rng.uniform(0.05, 0.95, 2) * size
        quad = perspective_quad(rng, (float(x), float(y)), height, image.shape[1] / image.shape[0])
        if not overlaps(quad, sample.quads):
            paste(rgb, weather(rng, image, float(rng.uniform(60, 150))), quad)
    return sample._replace(rgb=rgb)
