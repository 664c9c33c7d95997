"""Drawn plates pasted into real images, with exact corners.

They replace labelled plates, on real vehicles, or are placed freely or on drawn motorcycles, in a
known perspective.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from models.dataset import Quads
from models.drawing.motorcycle_scenes import put_motorcycle
from models.drawing.paste import Pixels, Quad, paste, project, quad_size, view_of
from models.drawing.plates import Style, draw_plate, pick_style
from models.drawing.styles import REGIONS, STYLES, TWO_ROW, TWO_ROW_RATIO, TWO_ROW_REGIONS
from models.drawing.wear import obstruct, weather
from models.training.augment import Sample

_NEARLY_SQUARE = 1.5
_TWO_ROW_SHARE = 0.35
_OBSTRUCTED = 0.12


def upright(quad: Quad) -> Quad:
    """Return the quad's corners clockwise from the top left of its text.

    Labelled corners may start anywhere and run either way. The long sides are taken for top and
    bottom, of a nearly square plate those that are closer to level, and the text for not upside
    down.
    """
    signed = cv2.contourArea(np.ascontiguousarray(quad, np.float32), oriented=True)
    ring = quad if signed >= 0 else quad[::-1]
    sides = np.linalg.norm(np.roll(ring, -1, axis=0) - ring, axis=1)
    across, down = sides[0] + sides[2], sides[1] + sides[3]
    if max(across, down) < _NEARLY_SQUARE * min(across, down):
        run, rise = np.abs(ring[1] - ring[0] + ring[2] - ring[3])
        start = 0 if run >= rise else 1
    else:
        start = 0 if across >= down else 1
    first, second = np.roll(ring, -start, axis=0), np.roll(ring, -start - 2, axis=0)
    best = first if first[1, 0] >= first[0, 0] else second
    return np.ascontiguousarray(best, np.float32)


def perspective_quad(
    rng: np.random.Generator, centre: tuple[float, float], height: float, ratio: float
) -> Quad:
    """Return the corners of a plate of ``height`` px seen from a random side.

    ``ratio``: its width over its height, seen straight on.
    """
    steep = rng.random() < 0.2  # from the side of the car: higher than wide
    yaw = math.radians(float(rng.uniform(50, 74) if steep else np.clip(rng.normal(0, 25), -60, 60)))
    yaw *= float(rng.choice([-1, 1]))
    pitch = math.radians(float(np.clip(rng.normal(0, 12), -35, 35)))
    roll = math.radians(float(np.clip(rng.normal(0, 11), -40, 40)))
    width = height * ratio
    plane = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float64)
    plane *= [width / 2, height / 2, 0]
    cy, sy, cx, sx = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    cz, sz = math.cos(roll), math.sin(roll)
    turn = (
        np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        @ np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        @ np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    )
    points = plane @ turn.T
    distance = width * float(rng.uniform(2.5, 9))
    flat = points[:, :2] * (distance / (distance + points[:, 2:]))
    return np.asarray(flat + centre, np.float32)


def put_plate(rng: np.random.Generator, rgb: Pixels, quad: Quad, style: Style) -> None:
    """Draw a plate of ``style`` into ``rgb`` in place, its corners at ``quad``."""
    view, _ = view_of(rgb, quad, margin=3)
    plate, _ = draw_plate(rng, style, void=False)
    paste(rgb, weather(rng, plate, float(view.mean())), quad)
    if rng.random() < 0.5:
        blur = float(rng.uniform(0.3, 0.09 * quad_size(quad)[1] + 0.35))
        view[:] = cv2.GaussianBlur(view, (0, 0), blur)
    if rng.random() < _OBSTRUCTED:
        room = quad.mean(0) + (quad - quad.mean(0)) * float(rng.uniform(2, 6))
        near, corner = view_of(rgb, room)
        obstruct(rng, near, quad - corner)


def tilted_quad(
    rng: np.random.Generator,
    centre: tuple[float, float],
    height: float,
    ratio: float,
    *,
    share: float = 0.2,
) -> Quad:
    """Return the corners of a plate as cars show them, or (a ``share``) turned by up to 65°."""
    quad = perspective_quad(rng, centre, height, ratio)
    if rng.random() < share:
        turn = math.radians(float(rng.uniform(-65, 65)))
        matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        quad = ((quad - centre) @ matrix.T + centre).astype(np.float32)
    return quad


def replace_plates(rng: np.random.Generator, sample: Sample) -> Sample:
    """Return the sample with drawn plates over those labelled plates whose shape fits a style."""
    rgb, quads, exact = sample.rgb.copy(), sample.quads.copy(), sample.exact.copy()
    for index, label in enumerate(sample.quads):
        quad = upright(label)
        width, height = quad_size(quad)
        fits = tuple(s for s in STYLES if abs(math.log(s.w / s.h * height / width)) < 0.3)
        if not fits or height < 5:
            continue
        centre = quad.mean(0)
        quad = (centre + (quad - centre) * float(rng.uniform(1.04, 1.12))).astype(np.float32)
        regions = TWO_ROW_REGIONS if width < TWO_ROW_RATIO * height else REGIONS
        put_plate(rng, rgb, quad, pick_style(rng, fits, regions))
        quads[index], exact[index] = quad, True
    return Sample(rgb, quads, exact)


def backing(rng: np.random.Generator, rgb: Pixels, quad: Quad) -> None:
    """Paint a panel behind a plate, like a bumper or boot lid."""
    tall, wide = 48, 128
    tone = rng.uniform(20, 230) * np.exp(rng.normal(0, 0.12, 3))
    ramp = np.linspace(float(rng.uniform(0.8, 1.3)), float(rng.uniform(0.5, 1.0)), tall)
    panel = np.zeros((tall, wide, 4), np.uint8)
    panel[..., :3] = (tone * ramp[:, None, None]).clip(0, 255)
    alpha = np.zeros((tall, wide), np.uint8)
    alpha[3:-3, 3:-3] = 255
    panel[..., 3] = cv2.GaussianBlur(alpha, (0, 0), 1.5)
    grow = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    grow *= np.array(rng.uniform(1.25, 2.4, 2), np.float32)
    matrix = cv2.getPerspectiveTransform(
        np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32), quad
    )
    paste(rgb, panel, project(np.asarray(matrix, np.float64), grow))


def overlaps(quad: Quad, quads: Quads) -> bool:
    """Whether the upright bounds of a quad touch those of any of ``quads``."""
    low, high = quad.min(0) - 2, quad.max(0) + 2
    return any(bool(((q.max(0) > low) & (q.min(0) < high)).all()) for q in quads)


def add_plates(rng: np.random.Generator, sample: Sample, count: int) -> Sample:
    """Return the sample with up to ``count`` more plates, placed freely and without overlap."""
    rgb, size = sample.rgb.copy(), sample.rgb.shape[0]
    quads, exact = list(sample.quads), list(sample.exact)
    for _ in range(count):
        two_row = bool(rng.random() < _TWO_ROW_SHARE)
        choice = (TWO_ROW, TWO_ROW_REGIONS) if two_row else (STYLES, REGIONS)
        style = pick_style(rng, *choice)
        height = float(np.exp(rng.uniform(math.log(8), math.log(56))))
        ratio = style.w / style.h
        x, y = rng.uniform(0.05, 0.95, 2) * size
        share = 0.5 if two_row else 0.15
        quad = tilted_quad(rng, (float(x), float(y)), height, ratio, share=share)
        inside = bool((quad > 1).all() and (quad < size - 1).all())
        # The panel needs space too: it must not hide another plate.
        room = quad.mean(0) + (quad - quad.mean(0)) * 2.4
        if not inside or overlaps(room, np.array(quads, np.float32).reshape(-1, 4, 2)):
            continue
        if rng.random() < 0.7:
            backing(rng, rgb, quad)
        put_plate(rng, rgb, quad, style)
        quads.append(quad)
        exact.append(np.True_)
    return Sample(rgb, np.array(quads, np.float32).reshape(-1, 4, 2), np.array(exact, np.bool_))


def add_motorcycles(rng: np.random.Generator, sample: Sample, count: int) -> Sample:
    """Return the sample with up to ``count`` drawn motorcycles, most with a plate.

    They stand, lean and lie anywhere in the picture, but not over its plates.
    """
    rgb, size = sample.rgb.copy(), sample.rgb.shape[0]
    quads, exact = list(sample.quads), list(sample.exact)
    for _ in range(count):
        height = float(np.exp(rng.uniform(math.log(0.16), math.log(1.3)))) * size
        x, y = rng.uniform(0.1, 0.9, 2) * size
        quad = put_motorcycle(rng, rgb, (float(x), float(y)), height, taken=quads)
        if quad is not None:
            quads.append(quad)
            exact.append(np.True_)
    return Sample(rgb, np.array(quads, np.float32).reshape(-1, 4, 2), np.array(exact, np.bool_))
