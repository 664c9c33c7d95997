"""From a labelled image to a training crop: geometry with its labels, then light and damage."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from models.dataset import Pixels, Quads

# An upright box at least this wide for its height is a plate seen nearly straight on. Turned with
# the image, it is an exact oriented label.
FRONTAL_RATIO = 3.0
PLATE_PX = (7.0, 300.0)
CLOSE_UP_SHARE = 0.1
LYING_SHARE = 0.06
STEEP_DEGREES = 65.0
_MIN_VISIBLE = 0.35
_GREY = (114, 114, 114)


class Sample(NamedTuple):
    """``rgb`` (S, S, 3); ``quads`` (N, 4, 2) px; ``exact`` (N,): the quad has the plate's angle."""

    rgb: Pixels
    quads: Quads
    exact: npt.NDArray[np.bool_]


def short_side(quad: Quads) -> float:
    """Return the shorter of a quad's two mean side lengths."""
    sides = np.linalg.norm(np.roll(quad, -1, axis=0) - quad, axis=1)
    return float(min(sides[0] + sides[2], sides[1] + sides[3]) / 2)


def is_frontal(quad: Quads) -> bool:
    """Whether an upright quad in px is wide enough to be a plate seen straight on."""
    width, height = np.ptp(quad, axis=0)
    return bool(width >= FRONTAL_RATIO * height)


def choose_scale(
    rng: np.random.Generator, quads: Quads, shape: tuple[int, int], size: int, focus: int
) -> float:
    """Return the zoom of the crop: as at inference, a close-up, or a random size of one plate.

    ``focus``: the index of that plate.
    """
    fit = size / max(shape)
    kind = rng.random()
    if not len(quads) or kind < 0.3:
        return fit * float(rng.uniform(0.7, 1.3))
    if kind < 0.3 + CLOSE_UP_SHARE:
        longest = float(np.linalg.norm(np.ptp(quads[focus], axis=0)))
        # Enlarged further, the plate would be more blurred than in any real close-up.
        return min(6.0, float(rng.uniform(0.4, 0.95)) * size / max(1.0, longest))
    low, high = (math.log(px) for px in PLATE_PX)
    wanted = math.exp(low + (high - low) * float(rng.beta(1.0, 2.2)))
    scale = wanted / max(1.0, short_side(quads[focus]))
    return float(np.clip(scale, 0.45 * fit, max(2.2, fit)))


def random_turn(rng: np.random.Generator, *, steep: bool = False) -> float:
    """Return an angle in degrees: mostly small or 0, rarely any (a camera on its side).

    With ``steep`` any up to 65° to either side: motorcycles lean on their stands.
    """
    if steep:
        return float(rng.uniform(-STEEP_DEGREES, STEEP_DEGREES))
    kind = rng.random()
    if kind < LYING_SHARE:
        return float(rng.uniform(-90, 90))
    return float(np.clip(rng.normal(0, 13), -42, 42)) if kind < 0.82 else 0.0


def random_matrix(
    rng: np.random.Generator,
    quads: Quads,
    shape: tuple[int, int],
    size: int,
    *,
    turn: bool,
    steep: bool = False,
) -> npt.NDArray[np.float64]:
    """Return a 2x3 matrix from image px to the crop of ``size`` px.

    With ``turn`` it may rotate (see ``random_turn``) and shear; without it, upright boxes stay
    upright.
    """
    height, width = shape
    focus = int(rng.integers(0, len(quads))) if len(quads) else 0
    scale = choose_scale(rng, quads, shape, size, focus)
    stretch = float(np.exp(rng.normal(0, 0.06)))
    degrees = random_turn(rng, steep=steep) if turn else 0.0
    shear = float(rng.normal(0, 0.08)) if turn else 0.0
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    flip = -1.0 if rng.random() < 0.3 else 1.0
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1, shear], [0, 1]])
    linear = linear @ np.diag([scale * stretch * flip, scale / stretch])
    centre = quads[focus].mean(0) if len(quads) else rng.uniform(0.2, 0.8, 2) * [width, height]
    target = rng.uniform(0.06, 0.94, 2) * size
    offset = target - linear @ centre
    # Move the crop back over the image where it reaches beyond an edge without need.
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) @ linear.T + offset
    low, high = corners.min(0), corners.max(0)
    for axis in range(2):
        if high[axis] - low[axis] <= size:
            offset[axis] -= np.clip(0, high[axis] - size, low[axis])
        else:
            offset[axis] += min(0.0, -low[axis]) + max(0.0, size - high[axis])
    return np.hstack([linear, offset[:, None]])


def clip_quads(quads: Quads, size: int) -> tuple[Quads, npt.NDArray[np.intp]]:
    """Return the quads visible in a crop, cut at its edges, and their indexes in the input.

    A quad that is cut becomes the smallest rotated rectangle around what is left of it.
    """
    frame = np.array([[0, 0], [size, 0], [size, size], [0, size]], np.float32)
    out, kept = [], []
    for index, quad in enumerate(quads):
        hull = cv2.convexHull(np.ascontiguousarray(quad, np.float32))
        area = cv2.contourArea(hull)
        seen, polygon = cv2.intersectConvexConvex(hull, frame)
        if area < 12 or seen < _MIN_VISIBLE * area:
            continue
        whole = seen > 0.999 * area
        upright = bool((np.abs(np.roll(quad, -1, axis=0) - quad).min(axis=1) < 0.01).all())
        if whole:
            out.append(quad)
        elif upright:
            out.append(np.clip(quad, 0, size))
        else:
            out.append(cv2.boxPoints(cv2.minAreaRect(polygon)))
        kept.append(index)
    return np.array(out, np.float32).reshape(-1, 4, 2), np.array(kept, np.intp)


def crop(
    rng: np.random.Generator,
    image: Pixels,
    quads: Quads,
    *,
    oriented: bool,
    size: int,
    backdrop: Pixels | None = None,
    steep: bool = False,
) -> Sample:
    """Cut a random crop of ``size`` px out of an image whose ``quads`` are in its px.

    Beyond the image the crop shows ``backdrop`` (an image without plates), or one colour. If every
    label has its plate's angle, the crop may be turned, with ``steep`` by up to 65°.
    """
    frontal = np.array([oriented or is_frontal(q) for q in quads], np.bool_)
    turn = bool(frontal.all())
    height, width = image.shape[:2]
    matrix = random_matrix(rng, quads, (height, width), size, turn=turn, steep=steep)
    grow = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    if grow < 0.6:  # warpAffine does not average: without this small plates would alias
        small = cv2.resize(image, None, fx=grow * 1.2, fy=grow * 1.2, interpolation=cv2.INTER_AREA)
        ratio = np.array([width / small.shape[1], height / small.shape[0]])
        image, pixels = np.asarray(small, np.uint8), matrix.copy()
        pixels[:, :2] *= ratio
    else:
        pixels = matrix.copy()
    # From coordinates of pixel corners to those of pixel centres and back.
    pixels[:, 2] += pixels[:, :2].sum(axis=1) * 0.5 - 0.5
    fill = _GREY if rng.random() < 0.7 else tuple(rng.integers(0, 256, 3).tolist())
    if backdrop is None:
        canvas = np.full((size, size, 3), fill, np.uint8)
    else:
        canvas = np.asarray(cv2.resize(backdrop, (size, size), interpolation=cv2.INTER_AREA))
    rgb = cv2.warpAffine(
        image,
        pixels,
        (size, size),
        canvas,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
    moved = (quads @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    seen, kept = clip_quads(moved, size)
    return Sample(np.asarray(rgb, np.uint8), seen, frontal[kept])


def relight(rng: np.random.Generator, rgb: Pixels) -> Pixels:
    """Return the image in another light: gain, gamma, colour cast, night, or grey."""
    gain, gamma = float(rng.uniform(0.6, 1.35)), float(np.exp(rng.normal(0, 0.25)))
    if rng.random() < 0.08:
        gain *= float(rng.uniform(0.25, 0.5))
    cast = np.exp(rng.normal(0, 0.05, 3))
    ramp = np.linspace(0, 1, 256)[:, None] ** gamma * gain * cast * 255
    table = np.rint(ramp.clip(0, 255)).astype(np.uint8).reshape(256, 1, 3)
    out = np.asarray(cv2.LUT(rgb, table), np.uint8)
    if rng.random() < 0.08:
        grey = cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)
        out = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB), np.uint8)
    return out


def damage(rng: np.random.Generator, rgb: Pixels) -> Pixels:
    """Return the image with the damage that cameras and networks do: blur, noise, JPEG."""
    draw = rng.random()
    if draw < 0.12:
        rgb = np.asarray(cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.4, 1.4))), np.uint8)
    elif draw < 0.2:
        length = int(rng.integers(3, 8))
        kernel = np.zeros((length, length), np.float32)
        slope = float(rng.uniform(-1, 1)) * length / 2
        middle = length / 2 - 0.5
        cv2.line(kernel, (0, round(middle - slope)), (length - 1, round(middle + slope)), 1.0)
        rgb = np.asarray(cv2.filter2D(rgb, -1, kernel / kernel.sum()), np.uint8)
    if rng.random() < 0.25:
        noise = rng.normal(0, float(rng.uniform(2, 12)), rgb.shape[:2]).astype(np.int16)
        rgb = np.clip(rgb.astype(np.int16) + noise[..., None], 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))]
        _, data = cv2.imencode(".jpg", rgb, quality)
        rgb = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return rgb
