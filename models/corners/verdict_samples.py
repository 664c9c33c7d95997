"""Training crops for the verdict, reproducible from a seed, a step and a place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from consumer.vision.corners.crop import HEIGHT, VERDICT_WIDTH, cut, verdict_matrix
from consumer.vision.image.scaling import Pyramid
from models.corners.drawn import choose_style, erase, lookalike, put_plate
from models.corners.photos import Place, photo
from models.corners.samples import native_height, shaken
from models.dataset import Pixels, Quads, source_of
from models.drawing.paste import paste, quad_size
from models.drawing.wear import weather
from models.training.augment import damage, relight
from models.training.synthesis import perspective_quad, tilted_quad

_SOURCE_POWER = 0.6
"""A source with n images is chosen with a chance of n to this power: the small ones count too."""
_TURNED = 0.25
"""Share of places without a plate that lie on their side: the worker also turns images."""
_CUT_OFF = 0.15
"""Share of places that the edge of the image is near, or goes through."""


@dataclass(frozen=True)
class VerdictMix:
    """Shares of the kinds of crops in a batch; the rest are random places without a plate.

    Drawn plates replace plates, and drawn objects lie in photographs without plates: so the
    surroundings of a plate are always those of a plate.
    """

    plate: float = 0.42
    drawn: float = 0.08
    negative: float = 0.32
    lookalike: float = 0.1


class VerdictBatch(NamedTuple):
    """``images`` (B, 3, HEIGHT, VERDICT_WIDTH) uint8; ``plate`` (B,)."""

    images: Tensor
    plate: Tensor


class VerdictSampler:
    """Makes crops; the same seed, step and place give the same crop."""

    def __init__(self, places: Sequence[Place], mix: VerdictMix, reach: float, seed: int) -> None:
        self.mix, self.reach, self.seed = mix, reach, seed
        self.plates = [place for place in places if place.plate]
        with_plates = {place.image for place in self.plates}
        by_source: dict[str, dict[Path, list[Place]]] = {}
        for place in places:
            if not place.plate:
                images = by_source.setdefault(source_of(place.image), {})
                images.setdefault(place.image, []).append(place)
        self.negatives = [list(images.values()) for _, images in sorted(by_source.items())]
        weights = np.array([len(images) for images in self.negatives]) ** _SOURCE_POWER
        self.weights = weights / weights.sum()
        self.empty = sorted({
            place.image for place in places if place.image not in with_plates
        })  # fmt: skip

    def batch(self, step: int, count: int) -> VerdictBatch:
        """Return the batch of a step."""
        crops = [self.crop(step, place) for place in range(count)]
        return VerdictBatch(
            torch.from_numpy(np.stack([pixels for pixels, _ in crops])).permute(0, 3, 1, 2),
            torch.tensor([float(plate) for _, plate in crops]),
        )

    def crop(self, step: int, place: int) -> tuple[Pixels, bool]:
        """Return the crop at a place of the batch of a step, and whether it shows a plate."""
        rng = np.random.default_rng([self.seed, step, place])
        kind, mix = float(rng.random()), self.mix
        for share, make, plate in (
            (mix.plate, self._plate, True), (mix.drawn, self._drawn, True),
            (mix.negative, self._negative, False), (mix.lookalike, self._lookalike, False),
        ):  # fmt: skip
            if kind < share:
                return self._finished(rng, *make(rng), plate=plate), plate
            kind -= share
        return self._finished(rng, *self._random(rng), plate=False), False

    def _plate(self, rng: np.random.Generator) -> tuple[Pixels, Quads]:
        place = self.plates[int(rng.integers(0, len(self.plates)))]
        return photo(place.image), place.quad

    def _drawn(self, rng: np.random.Generator) -> tuple[Pixels, Quads]:
        place = self.plates[int(rng.integers(0, len(self.plates)))]
        rgb, style = photo(place.image), choose_style(rng)
        erase(rng, rgb, place.quad)
        ratio, (width, tall) = style.w / style.h, quad_size(place.quad)
        height = math.sqrt(width * tall / ratio) * float(rng.uniform(0.8, 1.2))
        x, y = place.quad.mean(0).tolist()
        quad = tilted_quad(rng, (x, y), min(max(7.0, height), 200.0), ratio)
        put_plate(rng, rgb, quad, style)
        return rgb, quad

    def _negative(self, rng: np.random.Generator) -> tuple[Pixels, Quads]:
        images = self.negatives[int(rng.choice(len(self.negatives), p=self.weights))]
        places = images[int(rng.integers(0, len(images)))]
        place = places[int(rng.integers(0, len(places)))]
        return photo(place.image), place.quad

    def _empty(self, rng: np.random.Generator) -> tuple[Pixels, tuple[float, float]]:
        rgb = photo(self.empty[int(rng.integers(0, len(self.empty)))])
        x, y = (rng.uniform(0.05, 0.95, 2) * (rgb.shape[1], rgb.shape[0])).tolist()
        return rgb, (x, y)

    def _lookalike(self, rng: np.random.Generator) -> tuple[Pixels, Quads]:
        (rgb, centre), image = self._empty(rng), lookalike(rng)
        ratio = image.shape[1] / image.shape[0]
        quad = perspective_quad(rng, centre, native_height(rng, 60), ratio)
        paste(rgb, weather(rng, image, float(rng.uniform(60, 150))), quad)
        if ratio > 5 or rng.random() < 0.3:  # a part of it: one word, one row
            part = float(rng.uniform(0.3, 1))
            quad = (quad.mean(0) + (quad - quad.mean(0)) * part).astype(np.float32)
        return rgb, quad

    def _random(self, rng: np.random.Generator) -> tuple[Pixels, Quads]:
        rgb, centre = self._empty(rng)
        return rgb, perspective_quad(rng, centre, native_height(rng), float(rng.uniform(1, 5)))

    def _finished(
        self, rng: np.random.Generator, rgb: Pixels, quad: Quads, *, plate: bool
    ) -> Pixels:
        if rng.random() < 0.5:
            rgb = np.ascontiguousarray(rgb[:, ::-1])
            quad = (quad * (-1, 1) + (rgb.shape[1], 0)).astype(np.float32)[[1, 0, 3, 2]]
        if rng.random() < _CUT_OFF:
            rgb, quad = cut_off(rng, rgb, quad)
        if not plate and rng.random() < _TURNED:
            quad = np.roll(quad, int(rng.integers(1, 4)), axis=0)
        matrix = _changed(rng, verdict_matrix(shaken(rng, quad), self.reach))
        crop = relight(rng, cut(Pyramid(rgb), matrix, VERDICT_WIDTH))
        if rng.random() < 0.6:
            crop = damage(rng, crop)
        return _partly_hidden(rng, crop) if rng.random() < 0.25 else crop


def cut_off(rng: np.random.Generator, rgb: Pixels, quad: Quads) -> tuple[Pixels, Quads]:
    """Return the image without what lies beyond a line near the quad, or through it.

    At least half of the quad stays.
    """
    axis, from_left = int(rng.integers(0, 2)), bool(rng.random() < 0.5)
    low, high = float(quad[:, axis].min()), float(quad[:, axis].max())
    part = (high - low) * float(rng.uniform(0.5, 1.5))
    line = round(high - part if from_left else low + part)
    line = min(max(line, 1), rgb.shape[1 - axis] - 1)
    kept = np.s_[line:] if from_left else np.s_[:line]
    rgb = np.ascontiguousarray(rgb[:, kept] if axis == 0 else rgb[kept])
    start = np.zeros(2, np.float32)
    start[axis] = line if from_left else 0
    return rgb, (quad - start).clip(0, (rgb.shape[1], rgb.shape[0])).astype(np.float32)


def _changed(rng: np.random.Generator, matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the matrix of a crop that is turned, enlarged and stretched a little."""
    angle = math.radians(float(rng.normal(0, 5)))
    zoom = float(np.exp(rng.normal(0, 0.15)))
    stretch = float(np.exp(rng.normal(0, 0.08)))
    cos, sin = math.cos(angle), math.sin(angle)
    change = np.array([[cos, -sin], [sin, cos]]) @ np.diag([zoom, zoom * stretch])
    middle = np.array((VERDICT_WIDTH, HEIGHT)) / 2
    offset = change @ (matrix[:, 2] - middle) + middle
    return np.hstack((change @ matrix[:, :2], offset[:, None]))


def _partly_hidden(rng: np.random.Generator, crop: Pixels) -> Pixels:
    """Return the crop with a rectangle of one colour that leaves the candidate free."""
    middle = np.array((VERDICT_WIDTH, HEIGHT)) / 2
    start = rng.uniform((0, 0), 2 * middle)
    size = rng.uniform((10, 10), (60, 50))
    apart = np.abs(start + size / 2 - middle) > size / 2 + (16, 12)
    if not apart.any():
        return crop
    (left, top), (right, bottom) = start.astype(int).tolist(), (start + size).astype(int).tolist()
    colour = tuple(rng.integers(0, 256, 3).tolist())
    return np.asarray(
        cv2.rectangle(crop.copy(), (left, top), (right, bottom), colour, -1), np.uint8
    )
