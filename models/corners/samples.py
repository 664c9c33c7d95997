"""Training crops for the second stage, reproducible from a seed, a step and a place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from consumer.vision.corners.crop import HEIGHT, WIDTH, crop_matrix, cut, moved
from consumer.vision.image.scaling import Pyramid
from models.corners.drawn import choose_style, erase, lookalike, put_plate
from models.corners.photos import Place, photo
from models.dataset import Pixels, Quads
from models.drawing.paste import paste, quad_size
from models.drawing.wear import weather
from models.training.augment import damage, relight
from models.training.synthesis import perspective_quad, tilted_quad, upright


@dataclass(frozen=True)
class CropMix:
    """Shares of the kinds of crops in a batch; the rest are labelled plates without corners."""

    drawn: float = 0.3
    exact: float = 0.2
    lookalike: float = 0.1
    random: float = 0.05
    negative: float = 0.25


class Crop(NamedTuple):
    """``pixels`` (HEIGHT, WIDTH, 3); ``corners`` (4, 2) in them, ``exact``: their weight."""

    pixels: Pixels
    plate: bool
    corners: Quads
    exact: float


class Batch(NamedTuple):
    """``images`` (B, 3, HEIGHT, WIDTH) uint8; ``plate``, ``exact`` (B,); ``corners`` (B, 4, 2)."""

    images: Tensor
    plate: Tensor
    corners: Tensor
    exact: Tensor


def box_of(quad: Quads) -> Quads:
    """Return the smallest rectangle around a quad, as the detector would give it."""
    box = cv2.boxPoints(cv2.minAreaRect(np.ascontiguousarray(quad, np.float32)))
    return upright(np.asarray(box, np.float32))


def shaken(rng: np.random.Generator, quad: Quads) -> Quads:
    """Return the rectangle around a quad, with errors as those of the detector."""
    box = box_of(quad)
    width, height = quad_size(box)
    centre = box.mean(0)
    size = np.exp(rng.normal((0.04, 0.06), 0.1))
    turn = float(rng.normal(0, 4))
    if max(width, height) < 1.6 * min(width, height) and rng.random() < 0.35:
        turn = float(rng.uniform(-50, 50))  # the angle of a square plate is often wrong
    elif rng.random() < 0.1:
        turn = float(rng.normal(0, 15))
    across, down = (box[1] - box[0]) / max(width, 1e-3), (box[3] - box[0]) / max(height, 1e-3)
    local = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) / 2
    local = local * (width * size[0], height * size[1])
    angle = math.radians(turn)
    local = local @ np.array(
        [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    )
    shift = rng.normal(0, 0.06, 2) * (width, height)
    return np.asarray((local + shift) @ np.stack((across, down)) + centre, np.float32)


def aligned(corners: Quads) -> Quads:
    """Return a quad's corners in the order that fits a crop: from the one nearest to its top left.

    The text's own start is not used: in a crop it is at the top left, unless the candidate's angle
    is wrong by over 45°, and then nothing in the crop tells where the text starts.
    """
    signed = cv2.contourArea(np.ascontiguousarray(corners, np.float32), oriented=True)
    ring = corners if signed >= 0 else corners[::-1]
    centred = ring - ring.mean(0)
    goal = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32)
    fits = [float((np.roll(centred, -start, axis=0) * goal).sum()) for start in range(4)]
    return np.ascontiguousarray(np.roll(ring, -int(np.argmax(fits)), axis=0), np.float32)


def region(
    rng: np.random.Generator, rgb: Pixels, quad: Quads, height: float
) -> tuple[Pixels, Quads]:
    """Return the surroundings of a quad, scaled so that its short side is ``height`` px, and it."""
    width, tall = quad_size(quad)
    scale = height / max(1.0, min(width, tall))
    reach = max(1.5 * width, 4 * tall) * 0.75 * scale + 8
    side = 2 * math.ceil(reach)
    flip = rng.random() < 0.3
    matrix = np.array([[-scale if flip else scale, 0, 0], [0, scale, 0]])
    matrix[:, 2] = side / 2 - matrix[:, :2] @ quad.mean(0)
    low, high = quad.mean(0) - reach / scale - 2, quad.mean(0) + reach / scale + 2
    left, top = np.clip(low.astype(int), 0, [rgb.shape[1] - 1, rgb.shape[0] - 1]).tolist()
    right, bottom = np.clip(
        high.astype(int) + 1, [left + 1, top + 1], [rgb.shape[1], rgb.shape[0]]
    ).tolist()
    part = rgb[top:bottom, left:right]
    warp, factor = matrix.copy(), np.ones(2)
    if scale < 0.8:
        size = [max(1, round(s * scale)) for s in (part.shape[1], part.shape[0])]
        factor = np.array(size) / (part.shape[1], part.shape[0])
        part = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    warp[:, 2] += warp[:, :2] @ (left, top)
    warp[:, :2] /= factor
    warp[:, 2] += warp[:, :2] @ (0.5, 0.5) - 0.5
    out = cv2.warpAffine(
        part, warp, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    points = moved(quad, matrix)
    if flip:
        points = points[[1, 0, 3, 2]]
    return np.asarray(out, np.uint8), points


def native_height(rng: np.random.Generator, longest: float = 90) -> float:
    """Return a height of a plate in its photograph, in px."""
    return float(np.exp(rng.uniform(math.log(7), math.log(longest))))


class CropSampler:
    """Makes crops; the same seed, step and place give the same crop."""

    def __init__(self, places: Sequence[Place], mix: CropMix, seed: int) -> None:
        self.mix, self.seed = mix, seed
        self.plates = [place for place in places if place.plate]
        self.exact = [place for place in self.plates if place.exact]
        self.negatives = [place for place in places if not place.plate]
        weights = np.array([place.exact for place in self.exact])
        self.weights = weights / weights.sum() if len(weights) else weights

    def crop(self, step: int, place: int) -> Crop:
        """Return the crop at a place of the batch of a step."""
        rng = np.random.default_rng([self.seed, step, place])
        kind, mix = float(rng.random()), self.mix
        for share, make in (
            (mix.drawn, self._drawn), (mix.exact, self._exact), (mix.lookalike, self._lookalike),
            (mix.random, self._random), (mix.negative, self._negative),
        ):  # fmt: skip
            if kind < share:
                return make(rng)
            kind -= share
        return self._labelled(rng)

    def batch(self, step: int, count: int) -> Batch:
        """Return the batch of a step."""
        crops = [self.crop(step, place) for place in range(count)]
        return Batch(
            torch.from_numpy(np.stack([crop.pixels for crop in crops])).permute(0, 3, 1, 2),
            torch.tensor([float(crop.plate) for crop in crops]),
            torch.from_numpy(np.stack([crop.corners for crop in crops])),
            torch.tensor([crop.exact for crop in crops]),
        )

    def _background(self, rng: np.random.Generator) -> Place:
        pool = self.negatives if rng.random() < 0.3 and self.negatives else self.plates
        return pool[int(rng.integers(0, len(pool)))]

    def _drawn(self, rng: np.random.Generator) -> Crop:
        place = self._background(rng)
        style = choose_style(rng)
        ratio = style.w / style.h
        height = min(native_height(rng), 240 / ratio if ratio > 2.6 else 90)
        _, tall = quad_size(place.quad)
        # Not far over the photograph's own resolution.
        height = max(7.0, min(height, 2.5 * max(tall, 12)))
        around = box_of(place.quad)
        centre = around.mean(0)
        around = centre + (around - centre) * np.array((max(1.0, ratio / 3), 1.0), np.float32)
        patch, quad = region(rng, photo(place.image), around.astype(np.float32), height)
        if place.plate:
            erase(rng, patch, quad)
        middle = quad.mean(0) + rng.normal(0, 0.1, 2) * height
        corners = tilted_quad(rng, (float(middle[0]), float(middle[1])), height, ratio)
        put_plate(rng, patch, corners, style)
        return self._finished(rng, patch, corners, plate=True, exact=1.0)

    def _exact(self, rng: np.random.Generator) -> Crop:
        place = self.exact[int(rng.choice(len(self.exact), p=self.weights))]
        patch, corners = self._taken(rng, place)
        return self._finished(rng, patch, corners, plate=True, exact=place.exact, turn=True)

    def _labelled(self, rng: np.random.Generator) -> Crop:
        place = self.plates[int(rng.integers(0, len(self.plates)))]
        patch, corners = self._taken(rng, place)
        return self._finished(rng, patch, corners, plate=True, exact=0.0)

    def _negative(self, rng: np.random.Generator) -> Crop:
        if not self.negatives:
            return self._random(rng)
        place = self.negatives[int(rng.integers(0, len(self.negatives)))]
        patch, corners = self._taken(rng, place)
        return self._finished(rng, patch, corners, plate=False, exact=0.0)

    def _lookalike(self, rng: np.random.Generator) -> Crop:
        place = self._background(rng)
        image = lookalike(rng)
        ratio = image.shape[1] / image.shape[0]
        height = native_height(rng, 50)
        patch, quad = region(rng, photo(place.image), place.quad, height)
        if place.plate:
            erase(rng, patch, quad)
        middle = quad.mean(0)
        corners = perspective_quad(rng, (float(middle[0]), float(middle[1])), height, ratio)
        paste(patch, weather(rng, image, float(rng.uniform(60, 150))), corners)
        if ratio > 5 or rng.random() < 0.3:  # a part of it: one word, one row
            part = float(rng.uniform(0.3, 1))
            corners = (corners.mean(0) + (corners - corners.mean(0)) * part).astype(np.float32)
        return self._finished(rng, patch, corners, plate=False, exact=0.0)

    def _random(self, rng: np.random.Generator) -> Crop:
        """Return any place of a photograph without plates."""
        place = self.negatives[int(rng.integers(0, len(self.negatives)))]
        rgb = photo(place.image)
        centre = rng.uniform(0.05, 0.95, 2) * (rgb.shape[1], rgb.shape[0])
        quad = perspective_quad(
            rng, (float(centre[0]), float(centre[1])), native_height(rng), float(rng.uniform(1, 5))
        )
        patch, corners = region(rng, rgb, quad, native_height(rng, 60))
        return self._finished(rng, patch, corners, plate=False, exact=0.0)

    def _taken(self, rng: np.random.Generator, place: Place) -> tuple[Pixels, Quads]:
        """Return a place of a photograph at its own size, or smaller."""
        sides = quad_size(place.quad)
        tall = max(4.0, min(sides))
        height = (
            tall if rng.random() < 0.5 else max(min(tall, 9.0), tall * float(rng.uniform(0.3, 1.0)))
        )
        height = min(height, 90.0)
        return region(rng, photo(place.image), place.quad, height)

    def _finished(
        self,
        rng: np.random.Generator,
        patch: Pixels,
        quad: Quads,
        *,
        plate: bool,
        exact: float,
        turn: bool = False,
    ) -> Crop:
        patch = damage(rng, relight(rng, patch))
        matrix = crop_matrix(shaken(rng, quad))
        if turn and rng.random() < 0.5:
            # The real outlines are few: shear and stretch give them other perspectives.
            shear = np.eye(2) + rng.normal(0, 0.1, (2, 2))
            middle = np.array((WIDTH, HEIGHT)) / 2
            matrix = np.hstack(
                (shear @ matrix[:, :2], (shear @ (matrix[:, 2] - middle) + middle)[:, None])
            )
        return Crop(cut(Pyramid(patch), matrix), plate, aligned(moved(quad, matrix)), exact)
