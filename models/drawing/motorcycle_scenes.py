"""Place drawn motorcycles, with plates, in photographs and in drawn scenes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from models.drawing.motorcycles import HEIGHT_M, WIDTH_M, Motorcycle, draw_motorcycle
from models.drawing.paste import Pixels, Quad, paste, project, quad_size, shrink_to, view_of
from models.drawing.plates import Style, draw_plate
from models.drawing.scenes import Scene, draw_street, finish
from models.drawing.styles import TWO_ROW
from models.drawing.wear import obstruct, weather

_MAX_SCALE = 300.0
_MAX_HIDDEN = 0.08
_WITHOUT_PLATE = 0.12
_CORNERS_M = np.array([[0, 0], [WIDTH_M, 0], [WIDTH_M, HEIGHT_M], [0, HEIGHT_M]], np.float32)
_UNIT = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) / 2


def random_tilt(rng: np.random.Generator) -> float:
    """Return a turn in degrees: about upright, leaning by up to 65, or lying on the side."""
    kind = rng.random()
    if kind < 0.5:
        return float(np.clip(rng.normal(0, 9), -30, 30))
    if kind < 0.88:
        return float(rng.uniform(-65, 65))
    return float(rng.uniform(72, 100) * rng.choice([-1, 1]))


def _outline(rng: np.random.Generator, centre: Quad, height: float, tilt: float) -> Quad:
    """Return where the corners of a machine's picture go, seen from a random side."""
    wide = height * WIDTH_M / HEIGHT_M * float(rng.uniform(0.68, 1.0))
    taper, yaw = float(rng.normal(0.05, 0.08)), float(rng.normal(0, 0.035))
    local = _UNIT * np.array([wide, height], np.float32)
    local[:2, 0] *= 1 + taper
    local[2:, 0] *= 1 - taper
    local[[0, 3], 1] *= 1 + yaw
    local[[1, 2], 1] *= 1 - yaw
    turn = math.radians(tilt)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return np.asarray(local @ matrix.T + centre, np.float32)


def _plate_corners(rng: np.random.Generator, machine: Motorcycle, style: Style) -> Quad:
    """Return a plate's corners in metres: of true size or a little more, and leaning back."""
    grow = float(rng.uniform(1.0, 1.3)) / 1000
    back = float(rng.uniform(0.72, 1.0))
    local = _UNIT * np.array([style.w * grow, style.h * grow * back], np.float32)
    turn = math.radians(machine.lean)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return np.asarray(local @ matrix.T + machine.plate_centre_m, np.float32)


def _hides(before: Pixels, after: Pixels, quads: Sequence[Quad]) -> bool:
    """Whether more than a little of any quad has changed."""
    for quad in quads:
        old, corner = view_of(before, quad)
        new, _ = view_of(after, quad)
        mask = np.zeros(old.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, np.rint(quad - corner).astype(np.int32), 1)
        changed = (old != new).any(2) & (mask > 0)
        if changed.sum() > _MAX_HIDDEN * max(1, int(mask.sum())):
            return True
    return False


def _put_plate(rng: np.random.Generator, image: Pixels, quad: Quad, style: Style) -> None:
    around, _ = view_of(image, quad)
    light = float(np.clip(around.mean() * 1.3, 55, 160))  # the machine itself is often black
    plate, _ = draw_plate(rng, style, void=False)
    width, height = quad_size(quad)
    if rng.random() < 0.3:  # frame or carrier
        edge = (quad - quad.mean(0)) * float(rng.uniform(1.05, 1.14)) + quad.mean(0)
        tone = float(rng.uniform(8, 70) if rng.random() < 0.8 else rng.uniform(150, 210))
        cv2.fillConvexPoly(image, np.rint(edge * 16).astype(np.int32), (tone, tone, tone),
                           cv2.LINE_AA, 4)  # fmt: skip
    paste(image, weather(rng, shrink_to(plate, 1.5 * width, 1.5 * height), light), quad)


def put_motorcycle(
    rng: np.random.Generator,
    image: Pixels,
    centre: tuple[float, float],
    height: float,
    *,
    taken: Sequence[Quad] = (),
    styles: Sequence[Style] = TWO_ROW,
) -> Quad | None:
    """Draw a machine of ``height`` px into an image in place; return the corners of its plate.

    A few machines have no plate: none is returned. Nothing is drawn either if the plate would not
    be wholly inside the image, or if the machine would hide one of the plates ``taken``.
    """
    tilt = random_tilt(rng)
    outline = _outline(rng, np.array(centre, np.float32), height, tilt)
    scale = float(np.clip(height / HEIGHT_M, 60, _MAX_SCALE))
    machine = draw_motorcycle(rng, scale, standing=abs(tilt) < 45)
    style = styles[int(rng.integers(0, len(styles)))]
    matrix = cv2.getPerspectiveTransform(_CORNERS_M, outline)
    corners = _plate_corners(rng, machine, style)
    quad = project(np.asarray(matrix, np.float64), corners)
    high, wide = image.shape[:2]
    plated = bool(rng.random() >= _WITHOUT_PLATE)
    if plated and not ((quad > 1).all() and (quad < [wide - 1, high - 1]).all()):
        return None
    before = image.copy()
    light = float(np.clip(view_of(image, outline)[0].mean(), 40, 150))
    paste(image, weather(rng, machine.rgba, light), outline)
    if plated:
        _put_plate(rng, image, quad, style)
    if rng.random() < 0.35:
        view, corner = view_of(image, outline)
        obstruct(rng, view, quad - corner)
    if _hides(before, image, taken):
        image[:] = before
        return None
    return quad if plated else None


def _draw_ground(rng: np.random.Generator, width: int, height: int) -> Pixels:
    """Return ground seen from above: asphalt, concrete or paving, with stains and lines."""
    tone = float(rng.uniform(70, 190)) * np.exp(rng.normal(0, 0.06, 3))
    coarse = rng.normal(0, float(rng.uniform(4, 16)), (12, 12, 1)).astype(np.float32)
    stains = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
    image = np.asarray((tone + stains).clip(0, 255), np.uint8)
    if rng.random() < 0.6:  # joints
        step = int(rng.integers(24, 110))
        shift = step // 2 if rng.random() < 0.5 else 0
        joint = (tone * float(rng.uniform(0.6, 0.9))).tolist()
        for row, y in enumerate(range(int(rng.integers(0, step)), height, step)):
            cv2.line(image, (0, y), (width, y), joint, 2, cv2.LINE_AA)
            for x in range(shift * (row % 2), width, step):
                cv2.line(image, (x, y), (x, y + step), joint, 2, cv2.LINE_AA)
    if rng.random() < 0.4:  # a marking, or the foot of a wall
        ends = rng.uniform(0, 1, 4) * [width, height, width, height]
        x, y, x2, y2 = ends.astype(int).tolist()
        paint = (225, 180, 40) if rng.random() < 0.5 else (225, 225, 220)
        cv2.line(image, (x, y), (x2, y2), paint, int(rng.integers(6, 30)), cv2.LINE_AA)
    return image


def draw_motorcycle_scene(
    rng: np.random.Generator, width: int, height: int, count: int, *, noise: float = 3.0
) -> Scene:
    """Draw up to ``count`` motorcycles in a street or on the ground; a row stands behind a rack."""
    if rng.random() < 0.55:
        horizon = round(height * float(rng.uniform(0.2, 0.5)))
        image = draw_street(rng, width, height, horizon)
    else:
        image = _draw_ground(rng, width, height)
    quads: list[Quad] = []
    largest = 1.9 if count == 1 else 1.1
    tall = min(width, height) * float(rng.uniform(0.4, largest))
    for place in range(count):
        x = width * (place + 0.5 + float(rng.uniform(-0.2, 0.2))) / count
        y = height * float(rng.uniform(0.4, 0.65))
        one = tall * float(rng.uniform(0.8, 1.1)) / max(1.0, count / 3)
        quad = put_motorcycle(rng, image, (x, y), one, taken=quads)
        if quad is not None:
            quads.append(quad)
    return Scene(finish(image, rng, noise), np.array(quads, np.float32).reshape(-1, 4, 2))
