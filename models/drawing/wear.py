"""What happens to plates: dirt, shadows and light, and things in front of them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from models.drawing.paste import Pixels, Quad


def weather(rng: np.random.Generator, plate: Pixels, brightness: float) -> Pixels:
    """Return a plate (H, W, 4) with dirt, a shadow and the light of its place.

    ``brightness``: mean of the image around it, 0..255.
    """
    height, width = plate.shape[:2]
    rgb = plate[..., :3].astype(np.float32)
    if rng.random() < 0.5:
        coarse = rng.random((4, 10)).astype(np.float32)
        dirt = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)[..., None]
        dirt = np.clip(dirt - 0.45, 0, 1) * float(rng.uniform(0.2, 1.5))
        rgb += dirt * (np.array([105, 92, 74], np.float32) - rgb)
    if rng.random() < 0.35:
        edge = cv2.line(
            np.zeros((height, width), np.uint8),
            (int(rng.uniform(0, width)), 0),
            (int(rng.uniform(0, width)), height),
            255,
            int(width * rng.uniform(0.2, 0.9)),
        )
        soft = cv2.GaussianBlur(edge, (0, 0), 3).astype(np.float32)[..., None] / 255
        rgb *= 1 - soft * float(rng.uniform(0.2, 0.6))
    gain = np.clip(brightness / 120, 0.3, 1.15) * float(rng.uniform(0.75, 1.25))
    cast = np.exp(rng.normal(0, 0.04, 3)).astype(np.float32)
    out = plate.copy()
    out[..., :3] = (rgb * gain * cast + float(rng.uniform(0, 12))).clip(0, 255).astype(np.uint8)
    return out


def obstruct(rng: np.random.Generator, rgb: Pixels, quad: Quad) -> None:
    """Draw bars, railings, a rack, a branch, leaves or a tow ball before a plate, in place."""
    low, high = quad.min(0), quad.max(0)
    size = high - low
    colour = np.clip(rng.uniform(10, 220) * np.exp(rng.normal(0, 0.15, 3)), 0, 255).tolist()
    kind = int(rng.integers(0, 6))
    if kind == 0:  # railings: parallel bars over everything
        step = float(rng.uniform(0.25, 0.9)) * float(size.max())
        slope, thick = (
            float(rng.normal(0, 0.15)) * rgb.shape[0],
            max(1, round(step * float(rng.uniform(0.06, 0.2)))),
        )
        level = rng.random() < 0.4
        for at in np.arange(float(rng.uniform(0, step)), max(rgb.shape[:2]), step):
            ends = ((round(at), 0), (round(at + slope), rgb.shape[0]))
            if level:
                ends = ((0, round(at)), (rgb.shape[1], round(at + slope)))
            cv2.line(rgb, ends[0], ends[1], colour, thick, cv2.LINE_AA)
        return
    if kind == 1:  # one bar
        a = low + rng.uniform(-0.2, 1.2, 2) * size
        b = low + rng.uniform(-0.2, 1.2, 2) * size
        thick = max(1, round(float(size.min()) * float(rng.uniform(0.05, 0.25))))
        cv2.line(rgb, _whole(2 * a - b), _whole(2 * b - a), colour, thick, cv2.LINE_AA)
        return
    if kind == 4:
        _rack(rng, rgb, quad, colour)
        return
    if kind == 5:
        _branch(rng, rgb, quad)
        return
    green = kind == 2
    for _ in range(int(rng.integers(1, 7)) if green else 1):
        centre = low + rng.uniform(-0.1, 1.1, 2) * size
        radius = np.maximum(1, size.min() * rng.uniform(0.08, 0.35, 2))
        leaf = (rng.uniform(20, 90), rng.uniform(60, 150), rng.uniform(15, 70)) if green else colour
        turn = float(rng.uniform(0, 180))
        cv2.ellipse(rgb, _whole(centre), _whole(radius), turn, 0, 360, leaf, -1, cv2.LINE_AA)


def _whole(point: npt.NDArray[np.floating]) -> tuple[int, int]:
    x, y = np.rint(point).astype(int).tolist()
    return x, y


def _rack(rng: np.random.Generator, rgb: Pixels, quad: Quad, colour: list[float]) -> None:
    """Draw the hoops of a rack for two-wheelers, in place."""
    low, size = quad.min(0), np.ptp(quad, axis=0)
    wide = float(size.max()) * float(rng.uniform(0.5, 1.6))
    thick = max(1, round(wide * float(rng.uniform(0.05, 0.12))))
    top = float(low[1] + rng.uniform(-0.6, 0.5) * size[1])
    bottom = top + float(rng.uniform(1.5, 4)) * float(size.max())
    left = float(low[0] + rng.uniform(-1.0, 0.4) * size[0])
    bright = np.clip(np.array(colour) * 1.4 + 20, 0, 255).tolist()
    for hoop in range(int(rng.integers(1, 4))):
        x = left + hoop * wide * 1.7
        ring = _whole(np.array([x + wide / 2, top])), _whole(np.array([wide / 2, wide / 3]))
        for tone, width in ((colour, thick), (bright, max(1, thick // 3))):
            cv2.ellipse(rgb, *ring, 0, 180, 360, tone, width, cv2.LINE_AA)
            for at in (x, x + wide):
                ends = _whole(np.array([at, top])), _whole(np.array([at, bottom]))
                cv2.line(rgb, *ends, tone, width, cv2.LINE_AA)


def _branch(rng: np.random.Generator, rgb: Pixels, quad: Quad) -> None:
    """Draw a branch with leaves across a plate, in place."""
    size = np.ptp(quad, axis=0)
    across = float(size.max())
    turn = float(rng.uniform(0, np.pi))
    way = np.array([np.cos(turn), np.sin(turn)])
    middle = quad.mean(0) + rng.uniform(-0.35, 0.35, 2) * size
    steps = np.linspace(-1.5, 1.5, 9)[:, None] * across * way
    points = middle + steps + rng.normal(0, 0.06 * across, (9, 2))
    wood = (rng.uniform(50, 110), rng.uniform(40, 80), rng.uniform(25, 60))
    thick = max(1, round(across * float(rng.uniform(0.02, 0.06))))
    cv2.polylines(rgb, [np.rint(points).astype(np.int32)], isClosed=False, color=wood,
                  thickness=thick, lineType=cv2.LINE_AA)  # fmt: skip
    for _ in range(int(rng.integers(3, 10))):
        at = points[int(rng.integers(0, 9))] + rng.normal(0, 0.12 * across, 2)
        axes = np.maximum(1, across * np.array([rng.uniform(0.05, 0.14), rng.uniform(0.02, 0.06)]))
        leaf = (rng.uniform(30, 110), rng.uniform(70, 160), rng.uniform(20, 70))
        angle = float(rng.uniform(0, 180))
        cv2.ellipse(rgb, _whole(at), _whole(axes), angle, 0, 360, leaf, -1, cv2.LINE_AA)
