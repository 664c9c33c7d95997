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
from models.drawing.scenes import draw_scene
from models.training.augment import Sample, crop, damage, relight
from models.training.lookalikes import add_lookalikes
from models.training.synthesis import add_plates, replace_plates

MIN_PLATE_PX = 5.0


@dataclass(frozen=True)
class Mix:
    """Shares of the kinds of samples in a batch; the rest are real images as they are.

    ``replaced``: real images with drawn plates over the labelled ones. ``negative``: images without
    plates. ``scenes``: drawn streets, half of them without a car. ``added`` and ``lookalikes``:
    chances that a sample also gets freely placed plates and look-alikes. ``oriented_weight``: how
    often an image of an oriented source is chosen, compared with another.
    """

    replaced: float = 0.2
    negative: float = 0.2
    scenes: float = 0.06
    added: float = 0.1
    lookalikes: float = 0.2
    oriented_weight: float = 2.0


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


class Sampler:
    """Makes training samples; the same seed, step and place give the same sample."""

    def __init__(self, items: Sequence[Item], mix: Mix, seed: int) -> None:
        self.plated = [item for item in items if len(item.quads)]
        self.empty = [item for item in items if not len(item.quads)]
        self.mix, self.seed = mix, seed
        weights = np.array([mix.oriented_weight if item.oriented else 1.0 for item in self.plated])
        self.weights = weights / weights.sum()

    def sample(self, step: int, place: int, size: int) -> Sample:
        """Return the sample at a place of the batch of a step."""
        rng = np.random.default_rng([self.seed, step, place])
        kind = rng.random()
        if rng.random() < self.mix.scenes:
            return scene_sample(rng, size)
        negative = bool(self.empty) and kind < self.mix.negative
        if negative:
            item = self.empty[int(rng.integers(0, len(self.empty)))]
        else:
            item = self.plated[int(rng.choice(len(self.plated), p=self.weights))]
        image, quads = load(item)
        backdrop = None
        if self.empty and rng.random() < 0.6:
            backdrop = read_image(self.empty[int(rng.integers(0, len(self.empty)))].image)
        sample = crop(rng, image, quads, oriented=item.oriented, size=size, backdrop=backdrop)
        if kind > 1 - self.mix.replaced:
            sample = replace_plates(rng, sample)
        if rng.random() < self.mix.lookalikes * (3 if negative else 1):
            sample = add_lookalikes(rng, sample, int(rng.integers(1, 4)))
        if rng.random() < self.mix.added:
            sample = add_plates(rng, sample, int(rng.integers(1, 5)))
        return sample._replace(rgb=damage(rng, relight(rng, sample.rgb)))

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
