"""Draw street scenes with cars and fictitious plates, whose corners are known exactly.

Tests, benchmark and the README's image use them, so the scenes are realistic enough for the real
detector to find the plates.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from models.drawing.cars import HEIGHT_M, WIDTH_M, draw_car
from models.drawing.paste import Pixels, Quad, paste, project
from models.drawing.plates import Style, draw_plate
from models.drawing.styles import BY_NAME

SCENE_STYLES = ("ru", "ru", "ru_3", "ru_taxi", "eu_d", "eu_f", "eu_pl", "eu_ro", "eu_plain")
_PLATE_WIDTH_M = 0.56


class Scene(NamedTuple):
    """``rgb`` (H, W, 3) uint8; ``quads`` (N, 4, 2) float32 px, each TL, TR, BR, BL of a plate."""

    rgb: Pixels
    quads: npt.NDArray[np.float32]


def _vertical(
    top: tuple[int, int, int], bottom: tuple[int, int, int], height: int, width: int
) -> npt.NDArray[np.float32]:
    ramp = np.linspace(0, 1, max(1, height), dtype=np.float32)[:, None, None]
    column = np.array(top, np.float32) * (1 - ramp) + np.array(bottom, np.float32) * ramp
    return np.broadcast_to(column, (max(1, height), width, 3)).copy()


def _draw_houses(image: Pixels, rng: np.random.Generator, horizon: int) -> None:
    """Draw blocks of flats along the horizon."""
    width = image.shape[1]
    x = 0
    while x < width:
        wide = int(width * rng.uniform(0.1, 0.24))
        top = int(horizon * rng.uniform(0.15, 0.75))
        tone = rng.uniform(95, 190)
        wall = (tone * rng.uniform(0.92, 1.05), tone, tone * rng.uniform(0.82, 0.98))
        cv2.rectangle(image, (x, top), (x + wide, horizon), wall, -1)
        step = max(6, wide // int(rng.integers(5, 9)))
        glass = (tone * 0.55, tone * 0.6, tone * 0.68)
        for wx in range(x + step // 2, x + wide - step // 2, step):
            for wy in range(top + step // 2, horizon - step // 2, int(step * 1.3)):
                cv2.rectangle(image, (wx, wy), (wx + step // 2, wy + int(step * 0.7)), glass, -1)
        x += wide + int(width * rng.uniform(0, 0.03))


def draw_street(rng: np.random.Generator, width: int, height: int, horizon: int) -> Pixels:
    """Return sky, houses, trees, pavement and road, (height, width, 3)."""
    warm = float(rng.uniform(0, 1))
    sky = _vertical(
        (95 + int(50 * warm), 150, 205), (215, 222 - int(12 * warm), 228), horizon, width
    )
    road = _vertical((128, 128, 126), (72, 73, 76), height - horizon, width)
    image = np.vstack([sky, road]).astype(np.uint8)
    _draw_houses(image, rng, horizon)
    for _ in range(int(rng.integers(3, 8))):
        centre = int(rng.uniform(0, width)), int(horizon * rng.uniform(0.82, 0.98))
        size = int(horizon * rng.uniform(0.1, 0.3))
        leaf = (int(rng.uniform(40, 80)), int(rng.uniform(85, 125)), int(rng.uniform(40, 65)))
        cv2.ellipse(image, centre, (size, int(size * 0.8)), 0, 0, 360, leaf, -1, cv2.LINE_AA)
    blur = max(1, round(min(width, height) / 180))
    image[: horizon + 1] = cv2.GaussianBlur(image[: horizon + 1], (0, 0), blur)
    kerb = horizon + (height - horizon) // 12
    image[horizon:kerb] = _vertical((150, 147, 140), (164, 160, 152), kerb - horizon, width)
    for lane in range(-5, 6):
        far = (width / 2 + lane * width * 0.11, kerb)
        near = (width / 2 + lane * width * 0.42, height)
        half = width * 0.012
        corners = [
            (far[0] - half / 4, far[1]),
            (far[0] + half / 4, far[1]),
            (near[0] + half, near[1]),
            (near[0] - half, near[1]),
        ]
        cv2.fillPoly(image, [np.array(corners, np.int32)], (186, 186, 182), cv2.LINE_AA)
    return image


def draw_shadow(image: Pixels, quad: Quad) -> None:
    """Darken the road under a car whose image lies in ``quad``."""
    mask = np.zeros(image.shape[:2], np.uint8)
    left, right = quad[3], quad[2]
    centre = (left + right) / 2
    wide = float(np.linalg.norm(right - left))
    cv2.ellipse(
        mask,
        (round(float(centre[0])), round(float(centre[1] - wide * 0.03))),
        (round(wide * 0.5), round(wide * 0.07)),
        0,
        0,
        360,
        255,
        -1,
        cv2.LINE_AA,
    )
    soft = cv2.GaussianBlur(mask, (0, 0), max(1.0, wide * 0.02)).astype(np.float32)[..., None]
    image[:] = (image * (1 - 0.75 * soft / 255)).astype(np.uint8)


def _place_car(
    image: Pixels,
    rng: np.random.Generator,
    centre_x: float,
    base_y: float,
    car_width: float,
    styles: tuple[Style, ...],
) -> Quad:
    """Draw one car with its plate; return the plate's corners (4, 2)."""
    scale = car_width / WIDTH_M
    car = draw_car(rng, max(120.0, scale))
    tall = HEIGHT_M * scale
    yaw = float(rng.uniform(-0.05, 0.05)) * tall
    left, right = centre_x - car_width / 2, centre_x + car_width / 2
    quad = np.array(
        [
            [left, base_y - tall + yaw],
            [right, base_y - tall - yaw],
            [right, base_y - yaw / 3],
            [left, base_y + yaw / 3],
        ],
        np.float32,
    )
    draw_shadow(image, quad)
    paste(image, car.rgba, quad)
    style = styles[int(rng.integers(0, len(styles)))]
    plate, _ = draw_plate(rng, style)
    wide = _PLATE_WIDTH_M * min(1.0, style.w / 520)
    x, y = car.plate_centre_m
    half_w, half_h = wide / 2, wide * style.h / style.w / 2
    corners = np.array(
        [
            [x - half_w, y - half_h],
            [x + half_w, y - half_h],
            [x + half_w, y + half_h],
            [x - half_w, y + half_h],
        ],
        np.float32,
    )
    metres = np.array([[0, 0], [WIDTH_M, 0], [WIDTH_M, HEIGHT_M], [0, HEIGHT_M]], np.float32)
    matrix = cv2.getPerspectiveTransform(metres, quad)
    placed = project(np.asarray(matrix, np.float64), corners)
    paste(image, plate, placed)
    return placed


def finish(image: Pixels, rng: np.random.Generator, noise: float) -> Pixels:
    """Return the image with the vignette and the sensor noise of a photograph."""
    height, width = image.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None]
    light = (1.04 - 0.12 * (x * x + y * y))[..., None]
    # One tile of noise, repeated: fast at 12 megapixels, and the same on every machine.
    tile = rng.normal(0, noise, (256, 256, 1)).astype(np.float32)
    field = np.tile(tile, (height // 256 + 1, width // 256 + 1, 1))[:height, :width]
    return np.asarray(np.rint((image * light + field).clip(0, 255)), np.uint8)


def draw_scene(
    rng: np.random.Generator,
    width: int,
    height: int,
    plates: int = 1,
    angle: float = 0.0,
    styles: tuple[str, ...] = SCENE_STYLES,
    *,
    noise: float = 3.0,
) -> Scene:
    """Draw a street with ``plates`` cars, each with one plate wholly inside the image.

    ``angle``: degrees by which the plates are turned, clockwise, as by a rolled camera. ``noise``:
    standard deviation, of 255. The same generator state gives the same scene.

    Raises:
        ValueError: a side is under 64 px, or the number of plates is negative.
    """
    if min(width, height) < 64 or plates < 0:
        raise ValueError(f"cannot draw {plates} plates in {width} x {height} px")
    # The street is drawn large enough to leave no empty corner when it is turned.
    turn = math.radians(angle)
    big_w = math.ceil(width * abs(math.cos(turn)) + height * abs(math.sin(turn)))
    big_h = math.ceil(width * abs(math.sin(turn)) + height * abs(math.cos(turn)))
    horizon = round(big_h / 2 - height * 0.08)
    image = draw_street(rng, big_w, big_h, horizon)
    chosen = tuple(BY_NAME[name] for name in styles)
    columns = max(1, min(plates, math.ceil(math.sqrt(plates * max(1.0, width / height)))))
    rows = max(1, math.ceil(plates / columns))
    # Cars stand in a rectangle of the image's shape that stays in view when it is turned.
    share = min(width / big_w, height / big_h)
    wide, tall = width * share, height * share
    slot = min(wide * 0.94 / columns, tall * 0.9 / rows * WIDTH_M / HEIGHT_M)
    quads = []
    for i in range(plates):
        row, column = divmod(i, columns)
        car_width = slot * float(rng.uniform(0.62, 0.86)) * (0.8 if plates == 1 else 1.0)
        centre = big_w / 2 + (column - (columns - 1) / 2) * slot
        base = big_h / 2 + tall * (0.28 if rows == 1 else -0.45 + 0.88 * (row + 1) / rows)
        jitter = float(rng.uniform(-0.06, 0.06)) * slot
        quads.append(_place_car(image, rng, centre + jitter, base, car_width, chosen))
    found = np.array(quads, np.float32).reshape(-1, 4, 2)
    return roll(finish(image, rng, noise), found, width, height, angle)


def roll(
    image: Pixels, quads: npt.NDArray[np.float32], width: int, height: int, angle: float
) -> Scene:
    """Turn the image about its centre and cut out width x height px."""
    big_h, big_w = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((big_w / 2, big_h / 2), -angle, 1.0)
    matrix[:, 2] += width / 2 - big_w / 2, height / 2 - big_h / 2
    full = np.vstack([matrix, [0, 0, 1]])
    # Corners are on pixel edges, but warpAffine uses pixel centres: half a pixel apart.
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    centres = np.linalg.inv(shift) @ full @ shift
    if angle:
        image = np.asarray(
            cv2.warpAffine(image, centres[:2], (width, height), borderMode=cv2.BORDER_REFLECT),
            np.uint8,
        )
        quads = project(full, quads.reshape(-1, 2)).reshape(-1, 4, 2) if len(quads) else quads
    return Scene(np.ascontiguousarray(image[:height, :width]), quads)
