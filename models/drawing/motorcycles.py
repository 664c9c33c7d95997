"""Draw motorcycles and scooters from behind or from the front, with the place of their plate."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from models.drawing.canvas import Canvas, Colour, Points, box, shade
from models.drawing.paste import Pixels

WIDTH_M, HEIGHT_M = 0.96, 1.5
_MIDDLE = WIDTH_M / 2
_GROUND_M = 1.46
_PAINTS: tuple[Colour, ...] = (
    (30, 31, 34),
    (52, 54, 60),
    (180, 28, 34),
    (34, 66, 140),
    (214, 214, 210),
    (140, 144, 150),
    (196, 150, 60),
    (90, 30, 36),
    (40, 100, 90),
    (60, 62, 58),
)
_RUBBER: Colour = (30, 30, 31)
_BLACK: Colour = (22, 22, 24)
_STEEL: Colour = (176, 178, 182)


class Motorcycle(NamedTuple):
    """``rgba`` (H, W, 4); centre (x, y) of the plate in metres; ``lean``: its turn, degrees."""

    rgba: Pixels
    plate_centre_m: tuple[float, float]
    lean: float


class _Shape(NamedTuple):
    """What a machine is drawn from: paint, half widths of its parts in metres, plate's height."""

    paint: Colour
    wheel: float
    body: float
    plate_y: float


def _across(half_top: float, top: float, half_bottom: float, bottom: float) -> Points:
    """Return a trapezium in the machine's middle."""
    return [
        (_MIDDLE - half_top, top),
        (_MIDDLE + half_top, top),
        (_MIDDLE + half_bottom, bottom),
        (_MIDDLE - half_bottom, bottom),
    ]


def _oval(x: float, y: float, rx: float, ry: float) -> Points:
    turn = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return [(x + rx * float(np.cos(t)), y + ry * float(np.sin(t))) for t in turn]


def _draw_shadow(canvas: Canvas) -> None:
    for grow in (1.0, 0.8, 0.55):
        oval = _oval(_MIDDLE, _GROUND_M, 0.42 * grow, 0.035 * grow)
        canvas.fill(oval, (10, 10, 10), None, 0.02, 0.4)


def _draw_wheel(canvas: Canvas, rng: np.random.Generator, half: float) -> None:
    """Draw the tyre from behind with its tread, and the rim's sides."""
    top = float(rng.uniform(0.86, 0.98))
    tyre = [
        *_across(half * 0.9, top, half, top + 0.1)[:2],
        (_MIDDLE + half, 1.36),
        (_MIDDLE + half * 0.72, _GROUND_M),
        (_MIDDLE - half * 0.72, _GROUND_M),
        (_MIDDLE - half, 1.36),
    ]
    canvas.fill(tyre, (44, 44, 46), (14, 14, 15), 0.025)
    for y in np.arange(top + 0.06, 1.42, 0.045):
        canvas.fill(box(_MIDDLE - half * 0.6, y, _MIDDLE + half * 0.6, y + 0.012), (12, 12, 12))
    canvas.fill(
        box(_MIDDLE - half * 0.1, top, _MIDDLE + half * 0.1, 1.44), (58, 58, 60), None, 0.01
    )


def _draw_sides(canvas: Canvas, rng: np.random.Generator, wheel: float) -> None:
    """Draw shock absorbers, swing arm, exhaust and foot rests."""
    x = _MIDDLE - wheel - 0.06
    spring: Colour = _STEEL if rng.random() < 0.6 else (190, 40, 36)
    canvas.both(box(x - 0.018, 0.74, x + 0.018, 1.2), shade(spring, 0.8), shade(spring, 0.4), 0.01)
    for y in np.arange(0.8, 1.14, 0.04):
        canvas.both(box(x - 0.026, y, x + 0.026, y + 0.014), shade(spring, 0.45))
    canvas.both(box(x - 0.02, 1.16, x + 0.05, 1.26), (60, 60, 62), _BLACK, 0.015)
    if rng.random() < 0.85:  # exhaust, on the right
        size = float(rng.uniform(0.04, 0.07))
        at = _MIDDLE + wheel + size + float(rng.uniform(0.03, 0.08))
        y = float(rng.uniform(1.0, 1.18))
        pipe = _STEEL if rng.random() < 0.5 else (50, 50, 52)
        canvas.fill(_oval(at, y, size * 1.2, size * 1.5), shade(pipe, 1.15), shade(pipe, 0.4))
        canvas.fill(_oval(at, y + 0.01, size * 0.7, size * 0.8), shade(pipe, 0.6), _BLACK)
        canvas.fill(_oval(at, y + 0.015, size * 0.35, size * 0.4), (8, 8, 8))
    canvas.both(box(_MIDDLE - 0.3, 1.08, _MIDDLE - wheel - 0.06, 1.11), _BLACK, None, 0.008)


def _draw_mudguard(canvas: Canvas, shape: _Shape, rng: np.random.Generator) -> None:
    """Draw the rear mudguard, which narrows towards the ground, and the plate's holder."""
    y = shape.plate_y
    tone = shape.paint if rng.random() < 0.2 else shade(_BLACK, float(rng.uniform(0.8, 2.6)))
    wide = shape.wheel * float(rng.uniform(0.9, 1.3))
    end = y + float(rng.uniform(0.1, 0.34))
    guard = [*_across(wide + 0.03, y - 0.2, wide, end - 0.1), (_MIDDLE, end)]
    guard = [*guard[:3], (_MIDDLE + wide * 0.45, end), (_MIDDLE - wide * 0.45, end), guard[3]]
    canvas.fill(guard, shade(tone, 1.3), shade(tone, 0.7), 0.02)
    if rng.random() < 0.5:  # reflector
        red = ((206, 40, 34), (120, 14, 16))
        canvas.fill(box(_MIDDLE - 0.035, end - 0.09, _MIDDLE + 0.035, end - 0.055), *red, 0.006)
    if rng.random() < 0.6:  # arm of the holder
        canvas.fill(_across(0.1, y - 0.09, 0.085, y + 0.08), shade(tone, 0.8), _BLACK, 0.01)


def _indicators(canvas: Canvas, rng: np.random.Generator, y: float, half: float) -> None:
    """Draw the indicators on stalks at both sides."""
    reach = half + float(rng.uniform(0.04, 0.1))
    canvas.both(box(_MIDDLE - reach, y - 0.008, _MIDDLE - half * 0.7, y + 0.008), _BLACK)
    amber: Colour = (236, 150, 44) if rng.random() < 0.7 else (226, 226, 220)
    size = float(rng.uniform(0.025, 0.04))
    canvas.both(_oval(_MIDDLE - reach, y, size * 1.2, size), shade(amber, 1.1), shade(amber, 0.6))


def _draw_tail(canvas: Canvas, shape: _Shape, rng: np.random.Generator) -> None:
    """Draw seat, rear cowl, lamp and grab rail."""
    half = shape.body
    top = float(rng.uniform(0.44, 0.54))
    low = shape.plate_y - float(rng.uniform(0.13, 0.2))
    canvas.fill(_across(half * 0.8, top - 0.1, half * 1.05, top + 0.1), (48, 48, 50), _BLACK, 0.04)
    cowl = [
        *_across(half, top + 0.04, half * 1.15, top + 0.16)[:2],
        (_MIDDLE + half * 1.15, top + 0.16),
        (_MIDDLE + half * 0.55, low + 0.05),
        (_MIDDLE - half * 0.55, low + 0.05),
        (_MIDDLE - half * 1.15, top + 0.16),
    ]
    canvas.fill(cowl, shade(shape.paint, 1.25), shade(shape.paint, 0.6), 0.03)
    bright = float(rng.choice([0.8, 1.0, 1.25]))
    lamp = _across(half * rng.uniform(0.5, 0.95), top + 0.1, half * 0.4, (top + low) / 2 + 0.06)
    red = (shade((222, 44, 38), bright), shade((120, 14, 16), bright))
    canvas.fill(lamp, *red, 0.02)
    if rng.random() < 0.5:
        shine = _across(half * 0.35, top + 0.12, half * 0.25, top + 0.15)
        canvas.fill(shine, (255, 196, 180), None, 0.01, 0.7)
    if rng.random() < 0.2:  # lit
        glow = _oval(_MIDDLE, top + 0.14, half * 1.3, half)
        canvas.fill(glow, (255, 46, 34), None, 0.08, 0.5)
        canvas.fill(_oval(_MIDDLE, top + 0.14, half * 0.5, half * 0.3), (255, 235, 225), None, 0.03)
    if rng.random() < 0.55:  # grab rail
        y, rail = top + 0.02, _STEEL if rng.random() < 0.6 else _BLACK
        canvas.fill(box(_MIDDLE - half * 1.2, y, _MIDDLE + half * 1.2, y + 0.03), rail, None, 0.01)
        canvas.both(
            box(_MIDDLE - half * 1.2, y, _MIDDLE - half * 1.1, y + 0.14), rail, shade(rail, 0.5)
        )
    _indicators(canvas, rng, low - float(rng.uniform(-0.02, 0.08)), half * 0.9)


def _draw_handlebars(canvas: Canvas, rng: np.random.Generator, paint: Colour) -> None:
    """Draw mirrors and grips, at their places far above the tail."""
    y = float(rng.uniform(0.22, 0.32))
    reach = float(rng.uniform(0.3, 0.4))
    canvas.both([(_MIDDLE - reach, y), (_MIDDLE - 0.1, y + 0.06), (_MIDDLE - 0.1, y + 0.09),
                 (_MIDDLE - reach, y + 0.035)], (60, 60, 62), _BLACK)  # fmt: skip
    canvas.both(box(_MIDDLE - reach - 0.03, y - 0.005, _MIDDLE - reach + 0.09, y + 0.04), _BLACK)
    stalk = _MIDDLE - reach * 0.8
    canvas.both([(stalk - 0.08, y - 0.12), (stalk - 0.066, y - 0.12), (stalk + 0.014, y),
                 (stalk, y)], _BLACK)  # fmt: skip
    glass = (_oval(stalk - 0.08, y - 0.13, 0.06, 0.04), (160, 176, 186), (70, 80, 88))
    canvas.both(_oval(stalk - 0.08, y - 0.13, 0.07, 0.05), _BLACK)
    canvas.both(*glass)
    canvas.fill(_across(0.12, y + 0.01, 0.16, y + 0.24), shade(paint, 1.1), shade(paint, 0.6), 0.03)


def _draw_rider(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw a rider from behind: jacket, helmet, legs with shoes on both sides."""
    red, green, blue = (float(v) for v in rng.uniform(25, 190, 3))
    cloth: Colour = (red, green, blue)
    legs: Colour = shade((52, 60, 84), float(rng.uniform(0.5, 1.5)))
    leg = [(_MIDDLE - 0.2, 0.5), (_MIDDLE - 0.08, 0.56), (_MIDDLE - 0.22, 0.82),
           (_MIDDLE - 0.26, 1.1), (_MIDDLE - 0.36, 1.1), (_MIDDLE - 0.34, 0.8)]  # fmt: skip
    canvas.both(leg, shade(legs, 1.2), shade(legs, 0.7), 0.02)
    canvas.both(_oval(_MIDDLE - 0.32, 1.13, 0.07, 0.045), (44, 40, 38), _BLACK)
    canvas.fill(_across(0.2, 0.16, 0.17, 0.56), shade(cloth, 1.2), shade(cloth, 0.6), 0.05)
    arm = [(_MIDDLE - 0.19, 0.18), (_MIDDLE - 0.12, 0.2), (_MIDDLE - 0.28, 0.42),
           (_MIDDLE - 0.35, 0.38)]  # fmt: skip
    canvas.both(arm, shade(cloth, 1.1), shade(cloth, 0.7), 0.02)
    helmet = shade(_PAINTS[int(rng.integers(0, len(_PAINTS)))], 1.1)
    canvas.fill(_oval(_MIDDLE, 0.09, 0.1, 0.095), shade(helmet, 1.3), shade(helmet, 0.6))


def _draw_rear(canvas: Canvas, shape: _Shape, rng: np.random.Generator) -> None:
    """Draw a machine from behind, from far to near."""
    _draw_handlebars(canvas, rng, shape.paint)
    _draw_wheel(canvas, rng, shape.wheel)
    _draw_sides(canvas, rng, shape.wheel)
    _draw_mudguard(canvas, shape, rng)
    kind = rng.random()
    if kind < 0.35:
        _draw_rider(canvas, rng)
    _draw_tail(canvas, shape, rng)
    if kind > 0.85:  # top case
        canvas.fill(_across(0.2, 0.2, 0.23, 0.46), (56, 57, 60), _BLACK, 0.04)
        canvas.fill(box(_MIDDLE - 0.08, 0.3, _MIDDLE + 0.08, 0.34), (150, 26, 26), None, 0.01)


def _draw_front(canvas: Canvas, shape: _Shape, rng: np.random.Generator) -> None:
    """Draw a machine from the front: fork, wheel, mudguard, shield and headlamp."""
    _draw_wheel(canvas, rng, shape.wheel)
    fork = _MIDDLE - shape.wheel - 0.03
    canvas.both(box(fork - 0.02, 0.7, fork + 0.02, 1.24), _STEEL, (70, 70, 72), 0.01)
    guard = [*_across(shape.wheel + 0.015, 0.94, shape.wheel + 0.02, 1.08), (_MIDDLE, 1.18)]
    guard = [*guard[:3], guard[4], guard[3]]
    canvas.fill(guard, shade(shape.paint, 1.2), shade(shape.paint, 0.6), 0.02)
    _draw_handlebars(canvas, rng, shape.paint)
    half = shape.body * 1.2
    shield = [*_across(half * 0.9, 0.4, half * 1.15, 0.6)[:2], (_MIDDLE + half * 1.2, 0.62),
              (_MIDDLE + half * 0.7, 0.96), (_MIDDLE - half * 0.7, 0.96),
              (_MIDDLE - half * 1.2, 0.62)]  # fmt: skip
    canvas.fill(shield, shade(shape.paint, 1.25), shade(shape.paint, 0.6), 0.04)
    lit = float(rng.choice([0.85, 1.0, 1.2]))
    lamp = _across(half * 0.6, 0.42, half * 0.35, 0.56)
    canvas.fill(lamp, shade((228, 232, 236), lit), shade((140, 150, 156), lit), 0.03)
    _indicators(canvas, rng, 0.52, half)


def draw_motorcycle(rng: np.random.Generator, scale: float, *, standing: bool = True) -> Motorcycle:
    """Draw a machine at ``scale`` px per metre on a transparent background, without a plate.

    If it is ``standing`` there is a shadow under its wheel.
    """
    canvas = Canvas(scale, WIDTH_M, HEIGHT_M)
    paint = shade(_PAINTS[int(rng.integers(0, len(_PAINTS)))], float(rng.uniform(0.8, 1.2)))
    front = bool(rng.random() < 0.2)
    scooter = bool(rng.random() < 0.5)
    shape = _Shape(
        paint,
        wheel=float(rng.uniform(0.05, 0.075) if scooter else rng.uniform(0.045, 0.1)),
        body=float(rng.uniform(0.15, 0.21) if scooter else rng.uniform(0.09, 0.15)),
        plate_y=float(rng.uniform(0.66, 0.78) if front else rng.uniform(0.84, 1.04)),
    )
    if standing:
        _draw_shadow(canvas)
    draw: Callable[[Canvas, _Shape, np.random.Generator], None] = (
        _draw_front if front else _draw_rear
    )
    draw(canvas, shape, rng)
    offset = 0.0 if rng.random() < 0.85 else float(rng.uniform(-0.16, 0.16))
    lean = float(np.clip(rng.normal(0, 3), -9, 9))
    return Motorcycle(canvas.rgba(), (_MIDDLE + offset, shape.plate_y), lean)
