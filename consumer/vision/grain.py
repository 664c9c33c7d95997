"""How grainy a picture is: what an encoder that rounds fine detail away would cost it."""

import numpy as np
from numpy.typing import NDArray

from consumer.vision.decoder import Pixels

_BLOCK = 8
_BLOCKS = 4096
"""About as many are looked at: 512 x 512 pixels of any picture, under a millisecond."""
_ROUNDED_AWAY = 4.0
"""Most of a block's fine detail, as variance, that WebP drops at quality 90 and a little more."""
_SSIM_CONTRAST = (0.03 * 255) ** 2
_GREEN = 1  # most of the brightness, and no conversion


def grain(rgb: Pixels) -> float:
    """Return what share of its likeness (SSIM) a picture (H, W, 3) would lose with its grain.

    By blocks of 8 x 8 pixels: the variance of the finest detail, as far as coding drops it, over
    what SSIM weighs it by, twice the block's variance and a constant. Grain on even surfaces counts
    for much, detail within detail for little. 0.001 to 0.005 for most photographs, 0.01 to 0.02 for
    those taken in the dark; 0 for a picture smaller than a block.
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
    """Return blocks (N, 8, 8) from all over a plane (H, W)."""
    rows, columns = plane.shape[0] // _BLOCK, plane.shape[1] // _BLOCK
    apart = max(1, int(np.sqrt(rows * columns / _BLOCKS)))
    whole = plane[: rows * _BLOCK, : columns * _BLOCK]
    grid = whole.reshape(rows, _BLOCK, columns, _BLOCK).transpose(0, 2, 1, 3)
    return grid[::apart, ::apart].reshape(-1, _BLOCK, _BLOCK).astype(np.float32)
