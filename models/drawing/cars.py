"""Draw a car, seen from the rear or the front, with the place of its plate."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.drawing.canvas import Canvas, Colour, box, shade
from models.drawing.paste import Pixels

WIDTH_M, HEIGHT_M = 2.1, 1.7
PLATE_Y_M = 1.16
_PAINTS: tuple[Colour, ...] = (
    (176, 32, 38),
    (34, 62, 120),
    (60, 64, 70),
    (150, 156, 162),
    (28, 92, 78),
    (205, 206, 203),
    (120, 84, 50),
    (24, 26, 30),
    (196, 120, 40),
    (92, 118, 146),
)


class Car(NamedTuple):
    """``rgba`` (H, W, 4); ``scale`` px per metre; plate centre (x, y) in metres."""

    rgba: Pixels
    scale: float
    plate_centre_m: tuple[float, float]


def _draw_body(canvas: Canvas, paint: Colour) -> None:
    """Draw tyres, body, roof and window."""
    canvas.both(box(0.17, 1.2, 0.42, 1.64), (34, 34, 36), (12, 12, 13), 0.06)
    cabin = [(0.42, 0.68), (0.58, 0.16), (0.76, 0.08), (1.34, 0.08), (1.52, 0.16), (1.68, 0.68)]
    canvas.fill(cabin, shade(paint, 1.25), shade(paint, 0.85), 0.05)
    window = [(0.52, 0.62), (0.65, 0.22), (0.78, 0.17), (1.32, 0.17), (1.45, 0.22), (1.58, 0.62)]
    canvas.fill(window, (96, 112, 124), (26, 32, 38), 0.03)
    canvas.fill(
        [(0.7, 0.6), (0.83, 0.19), (0.98, 0.19), (0.85, 0.6)], (190, 205, 215), None, 0, 0.25
    )
    body = [
        (0.12, 0.9),
        (0.2, 0.7),
        (0.4, 0.63),
        (1.7, 0.63),
        (1.9, 0.7),
        (1.98, 0.9),
        (1.98, 1.38),
        (1.86, 1.46),
        (0.24, 1.46),
        (0.12, 1.38),
    ]
    canvas.fill(body, shade(paint, 1.2), shade(paint, 0.55), 0.06)
    canvas.fill(box(0.3, 0.66, 1.8, 0.7), shade(paint, 1.6), None, 0.01, 0.5)
    canvas.both(
        [(0.02, 0.62), (0.16, 0.56), (0.26, 0.6), (0.26, 0.7), (0.08, 0.72)],
        shade(paint, 1.1),
        shade(paint, 0.7),
        0.02,
    )


def _draw_rear(canvas: Canvas, paint: Colour) -> None:
    """Draw boot lid, lamps, plate recess, bumper and exhausts of the rear."""
    canvas.fill(box(0.44, 0.72, 1.66, 1.3), shade(paint, 0.5), None, 0.04, 0.35)
    canvas.fill(box(0.45, 0.73, 1.65, 1.29), shade(paint, 1.15), shade(paint, 0.75), 0.04)
    lamp = [(0.15, 0.8), (0.46, 0.78), (0.5, 0.86), (0.44, 1.0), (0.16, 1.0)]
    canvas.both(lamp, (215, 40, 36), (120, 12, 14), 0.02)
    canvas.both(box(0.2, 0.91, 0.38, 0.96), (245, 225, 205), (235, 170, 120), 0.01)
    canvas.fill(box(0.96, 0.8, 1.14, 0.86), (215, 218, 222), (130, 134, 138), 0.02)
    canvas.fill(box(0.74, 1.07, 1.36, 1.26), shade(paint, 0.5), shade(paint, 0.68), 0.02)
    canvas.fill(box(0.14, 1.32, 1.96, 1.48), shade(paint, 0.42), (26, 26, 28), 0.04)
    canvas.both(box(0.2, 1.35, 0.42, 1.4), (165, 30, 28), (120, 16, 16), 0.01)
    canvas.both(box(0.5, 1.44, 0.66, 1.52), (150, 152, 155), (50, 50, 52), 0.02)


def _draw_front(canvas: Canvas, paint: Colour) -> None:
    """Draw bonnet, lamps, grille and bumper of the front."""
    canvas.fill(
        [(0.46, 0.64), (1.64, 0.64), (1.76, 0.84), (0.34, 0.84)],
        shade(paint, 1.35),
        shade(paint, 0.95),
        0.03,
    )
    lamp = [(0.15, 0.82), (0.5, 0.86), (0.56, 0.94), (0.48, 1.0), (0.17, 0.98)]
    canvas.both(lamp, (245, 248, 250), (150, 160, 168), 0.02)
    canvas.both(box(0.24, 0.87, 0.36, 0.95), (255, 255, 250), (215, 222, 226), 0.03)
    canvas.fill(box(0.62, 0.87, 1.48, 1.03), (44, 46, 48), (18, 19, 20), 0.03)
    for y in (0.91, 0.95, 0.99):
        canvas.fill(box(0.65, y, 1.45, y + 0.012), (140, 144, 148))
    canvas.fill(box(0.98, 0.9, 1.12, 1.0), (222, 224, 227), (140, 144, 148), 0.03)
    canvas.fill(box(0.14, 1.06, 1.96, 1.47), shade(paint, 0.95), shade(paint, 0.5), 0.05)
    canvas.fill(box(0.5, 1.28, 1.6, 1.42), (34, 35, 37), (14, 14, 15), 0.03)
    canvas.both(box(0.24, 1.26, 0.4, 1.36), (205, 208, 205), (95, 98, 98), 0.03)


def draw_car(rng: np.random.Generator, scale: float) -> Car:
    """Draw a car at ``scale`` px per metre on a transparent background, without a plate."""
    canvas = Canvas(scale, WIDTH_M, HEIGHT_M)
    paint = shade(_PAINTS[int(rng.integers(0, len(_PAINTS)))], float(rng.uniform(0.85, 1.15)))
    _draw_body(canvas, paint)
    rear = bool(rng.random() < 0.65)
    (_draw_rear if rear else _draw_front)(canvas, paint)
    return Car(canvas.rgba(), scale, (WIDTH_M / 2, PLATE_Y_M + (0.0 if rear else 0.03)))
