"""How much of an image's likeness hangs on its grain, which an encoder may round away."""

import math

import numpy as np
from numpy.typing import NDArray

from consumer.vision.decoder import Pixels

_BLOCK = 8
_BLOCKS = 4096
_ROUNDED_AWAY = 4.0
"""Variance of fine detail in a block up to which WebP drops it at a quality of about 90."""
_SSIM_CONTRAST = (0.03 * 255) ** 2
_GREEN = 1  # most of the brightness, and no conversion


def grain_share(rgb: Pixels) -> float:
    """Return the share of its likeness (SSIM) that an image (H, W, 3) would lose with its grain.

    Of at most 4096 blocks of 8 x 8 pixels, from all over the image (a millisecond): the variance
    of the finest detail, as far as WebP drops it, over what SSIM weighs it by, twice the block's
    variance and a constant. Grain on even surfaces counts for much, detail within detail for
    little; noise so strong that WebP has to keep it counts for less again. 0.001 to 0.007 for most
    photographs, 0.01 to 0.02 with noise of a standard deviation of 3 to 6 added to them; 0 for a
    image smaller than a block. Transparent pixels count too: they are an even surface.
    """
    blocks = _sampled(rgb[..., _GREEN])
    if not len(blocks):
        return 0.0
    diagonal = blocks[:, ::2, ::2] - blocks[:, 1::2, ::2] - blocks[:, ::2, 1::2]
    diagonal += blocks[:, 1::2, 1::2]
    finest = np.square(diagonal / 2).mean(axis=(1, 2))
    contrast = 2 * blocks.var(axis=(1, 2)) + _SSIM_CONTRAST
    return float((np.minimum(finest, _ROUNDED_AWAY) / contrast).mean())


def _sampled(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return at most _BLOCKS blocks (N, 8, 8) from all over a plane (H, W)."""
    rows, columns = plane.shape[0] // _BLOCK, plane.shape[1] // _BLOCK
    whole = plane[: rows * _BLOCK, : columns * _BLOCK]
    grid = whole.reshape(rows, _BLOCK, columns, _BLOCK).transpose(0, 2, 1, 3)
    apart = max(1, math.ceil(math.sqrt(rows * columns / _BLOCKS)))
    # The middle of what each stands for; and never none of a long thin image.
    first = min(apart // 2, max(0, rows - 1)), min(apart // 2, max(0, columns - 1))
    blocks = grid[first[0] :: apart, first[1] :: apart].reshape(-1, _BLOCK, _BLOCK)
    return blocks[:_BLOCKS].astype(np.float32)
