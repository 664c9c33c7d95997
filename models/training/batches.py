"""Training batches: real images and drawn plates, reproducible from a seed and a step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from models.dataset import Item, Quads, load, read_image
from models.drawing.motorcycle_scenes import draw_motorcycle_scene
from models.drawing.scenes import draw_scene
from models.training.augment import Sample, crop, damage, relight
from models.training.lookalikes import add_lookalikes
from models.training.synthesis import add_motorcycles, add_plates, replace_plates

MIN_PLATE_PX = 5.0
MOTORCYCLES = ("vn_moto", "id_moto", "in_rickshaw")
"""Sources of photographs of motorcycles and of other vehicles with small, square plates."""


@dataclass(frozen=True)
class Mix:
    """Shares of the kinds of samples in a batch; the rest are real images as they are.

    ``replaced``: real images with drawn plates over the labelled ones. ``negative``: images without
    plates. ``scenes``: drawn streets, half of them without a car. ``motorcycles``: drawn scenes of
    them. ``steep``: chance that the labelled plates of a real image are replaced by drawn ones
    before it is turned, by up to 65°. ``added``, ``lookalikes`` and ``mounted``: chances that a
    sample also gets freely placed plates, look-alikes, and drawn motorcycles.
    ``oriented_weight``, ``motorcycle_weight``: how often an image of an oriented source, or of
    MOTORCYCLES, is chosen, compared with another.
    """

    replaced: float = 0.2
    negative: float = 0.2
    scenes: float = 0.05
    motorcycles: float = 0.07
    steep: float = 0.07
    added: float = 0.12
    lookalikes: float = 0.25
    mounted: float = 0.08
    oriented_weight: float = 2.0
    motorcycle_weight: float = 4.0


class Batch(NamedTuple):
    """``images`` (B, 3, S, S) float 0..1; ``boxes`` (N, 5) xywhr px; ``exact``, ``image`` (N,)."""

    images: Tensor
    boxes: Tensor
    exact: Tensor
    image: Tensor


def to_box(quad: Quads) -> tuple[float, float, float, float, float]:
    """Return the rectangle around a quad (4, 2): x, y, w >= h, and the long side's angle.

    The angle is in radians within [-pi/4, 3 pi/4), the range of the network's head.
    """
    (x, y), (w, h), degrees = cv2.minAreaRect(np.ascontiguousarray(quad, np.float32))
    if w < h:
        w, h, degrees = h, w, degrees + 90
    angle = (math.radians(degrees) + math.pi / 4) % math.pi - math.pi / 4
    return x, y, w, h, angle


def upright_box(quad: Quads) -> tuple[float, float, float, float, float]:
    """Return the upright bounds of a quad as x, y, w, h and angle 0."""
    low, high = quad.min(0), quad.max(0)
    (x, y), (w, h) = ((low + high) / 2).tolist(), (high - low).tolist()
    return x, y, w, h, 0.0


def scene_sample(rng: np.random.Generator, size: int) -> Sample:
    """Return a drawn street of ``size`` px a side."""
    plates = int(rng.integers(1, 5)) if rng.random() < 0.5 else 0
    scene = draw_scene(rng, size, size, plates, angle=float(rng.normal(0, 8)))
    sample = Sample(scene.rgb, scene.quads, np.ones(len(scene.quads), np.bool_))
    if rng.random() < 0.3:
        sample = add_lookalikes(rng, sample, 1)
    return sample._replace(rgb=damage(rng, relight(rng, sample.rgb)))


def motorcycle_sample(rng: np.random.Generator, size: int) -> Sample:
    """Return a drawn scene of ``size`` px a side with motorcycles, near or in a row."""
    count = 1 if rng.random() < 0.5 else int(rng.integers(2, 6))
    scene = draw_motorcycle_scene(rng, size, size, count)
    sample = Sample(scene.rgb, scene.quads, np.ones(len(scene.quads), np.bool_))
    if rng.random() < 0.2:
        sample = add_lookalikes(rng, sample, 1)
    return sample._replace(rgb=damage(rng, relight(rng, sample.rgb)))


class Sampler:
    """Makes training samples; the same seed, step and place give the same sample."""

    def __init__(self, items: Sequence[Item], mix: Mix, seed: int) -> None:
        self.plated = [item for item in items if len(item.quads)]
        self.empty = [item for item in items if not len(item.quads)]
        self.mix, self.seed = mix, seed
        weights = np.array([self._weight(item) for item in self.plated])
        self.weights = weights / weights.sum()

    def _weight(self, item: Item) -> float:
        weight = self.mix.oriented_weight if item.oriented else 1.0
        return weight * (self.mix.motorcycle_weight if item.source in MOTORCYCLES else 1.0)

    def sample(self, step: int, place: int, size: int) -> Sample:
        """Return the sample at a place of the batch of a step."""
        rng = np.random.default_rng([self.seed, step, place])
        kind = rng.random()
        drawn = rng.random()
        if drawn < self.mix.scenes:
            return scene_sample(rng, size)
        if drawn < self.mix.scenes + self.mix.motorcycles:
            return motorcycle_sample(rng, size)
        negative = bool(self.empty) and kind < self.mix.negative
        if negative:
            item = self.empty[int(rng.integers(0, len(self.empty)))]
        else:
            item = self.plated[int(rng.choice(len(self.plated), p=self.weights))]
        sample = self._crop(rng, item, size)
        if kind > 1 - self.mix.replaced:
            sample = replace_plates(rng, sample)
        if rng.random() < self.mix.lookalikes * (3 if negative else 1):
            sample = add_lookalikes(rng, sample, int(rng.integers(1, 4)))
        if rng.random() < self.mix.added:
            sample = add_plates(rng, sample, int(rng.integers(1, 5)))
        if rng.random() < self.mix.mounted:
            sample = add_motorcycles(rng, sample, int(rng.integers(1, 4)))
        return sample._replace(rgb=damage(rng, relight(rng, sample.rgb)))

    def _crop(self, rng: np.random.Generator, item: Item, size: int) -> Sample:
        """Return a crop of an image, turned far if its plates are replaced first."""
        image, quads = load(item)
        backdrop = None
        if self.empty and rng.random() < 0.6:
            backdrop = read_image(self.empty[int(rng.integers(0, len(self.empty)))].image)
        oriented, steep = item.oriented, bool(rng.random() < self.mix.steep)
        if steep:
            known = np.full(len(quads), item.oriented, np.bool_)
            replaced = replace_plates(rng, Sample(image, quads, known))
            image, quads = replaced.rgb, replaced.quads
            oriented = bool(replaced.exact.all())
        return crop(rng, image, quads, oriented=oriented, size=size, backdrop=backdrop, steep=steep)

    def batch(self, step: int, count: int, sizes: Sequence[int]) -> Batch:
        """Return the batch of a step; its input size is one of ``sizes``."""
        size = sizes[int(np.random.default_rng([self.seed, step]).integers(0, len(sizes)))]
        samples = [self.sample(step, place, size) for place in range(count)]
        return collate(samples)

    def stream(self, start: int, count: int, sizes: Sequence[int]) -> Iterator[Batch]:
        """Yield the batches of the steps from ``start`` on; a thread prepares two ahead."""
        with ThreadPoolExecutor(1) as pool:
            ahead = [pool.submit(self.batch, start + i, count, sizes) for i in range(2)]
            step = start + 2
            while True:
                yield ahead.pop(0).result()
                ahead.append(pool.submit(self.batch, step, count, sizes))
                step += 1


def collate(samples: Sequence[Sample]) -> Batch:
    """Return samples of one size as tensors, without plates under MIN_PLATE_PX."""
    boxes, exact, image = [], [], []
    for index, sample in enumerate(samples):
        for quad, known in zip(sample.quads, sample.exact, strict=True):
            box = to_box(quad) if known else upright_box(quad)
            if min(box[2:4]) >= MIN_PLATE_PX:
                boxes.append(box)
                exact.append(bool(known))
                image.append(index)
    pixels = np.stack([sample.rgb for sample in samples])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    return Batch(
        images.contiguous(memory_format=torch.channels_last),
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 5),
        torch.tensor(exact, dtype=torch.bool),
        torch.tensor(image, dtype=torch.long),
    )
