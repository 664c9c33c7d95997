"""Settings of the WebP encoder: its method by the backlog, noise shaping and quality by grain."""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consumer.vision.image.decoder import Pixels

WebpMethod = int | Literal["auto"]
"""libwebp's method, 0 (fastest) to 6 (smallest files), or a choice by the backlog."""

_FAST, _THOROUGH = 0, 2
_FAST_UP_TO_PIXELS = 14_000_000  # up to here even noise can be encoded: see webp_encoder
_FAST_FROM_QUALITY = 89
# Measured on photographs at quality 90 (twelve of 12 megapixels, these scaled to 1920 and 640 px,
# and 26 others), against method 2: method 0 takes two thirds of the time for 0 to 5 % more bytes,
# up to 7 % where there is much grain. Method 4, a common default, takes twice the time for 0 to 4 %
# fewer. On 160 images of up to 3 megapixels method 0 writes 0 to 6 % more in the mean at quality
# 89 and above, but 13 % at 88 and 19 % at 80, where users want small files.

_SIMPLE_METHODS = 2  # below it
# Measured at quality 90 on 169 images: photographs of eleven sources, some with noise added, and
# drawn ones. Without shaping 32 of them lose more than 0.005 of SSIM against method 4. The
# threshold finds 28 of these, and 9 others; with their settings none of the 37 loses as much. Of
# the four others the worst loses 0.0056.
_GRAINY = 0.0085
_HALF_SHAPING = 25
_ONE_STEP_BETTER = 0.02  # share at which the quality is one step higher
_UNSHAPED_UP_TO_QUALITY = 95

_BLOCK = 8
_MAX_BLOCKS = 4096
_MAX_LOST_VARIANCE = 4.0
"""Variance of fine detail in a block up to which WebP drops it at a quality of about 90."""
_SSIM_CONTRAST = (0.03 * 255) ** 2
_GREEN = 1  # most of the brightness, without a conversion


class Tuning(NamedTuple):
    """Settings of libwebp: ``quality``, 0 to 100, and ``shaping`` of noise, 0 to 100."""

    quality: float
    shaping: int = 50  # libwebp's default


def method_for(setting: WebpMethod, height: int, width: int, *, quality: int, backlog: bool) -> int:
    """Return the method for an image of ``height`` x ``width`` pixels, encoded at ``quality``.

    ``auto`` is fast while images wait (``backlog``) if that costs few bytes, else thorough.
    """
    if setting != "auto":
        return setting
    few_bytes = height * width <= _FAST_UP_TO_PIXELS and quality >= _FAST_FROM_QUALITY
    return _FAST if backlog and few_bytes else _THOROUGH


def highest_method(setting: WebpMethod) -> int:
    """Return the highest method that ``method_for`` may return: it takes the most memory."""
    return _THOROUGH if setting == "auto" else setting


def tuning(rgb: Pixels, quality: int, method: int) -> Tuning:
    """Return the settings for an image: libwebp's own, except for methods 0 and 1.

    Noise shaping moves bits from areas with much detail to areas with little. With methods 0 and 1
    it makes most photographs 4 to 6 % larger for 0.001 of SSIM, so it is off. But it keeps grain:
    without it images with much grain lose up to 0.01 of SSIM against method 4. These get half of
    the shaping and, as uniform grain leaves nothing to shape, up to one step more of quality. So
    they lose at most 0.005, for 4 to 10 % more bytes than without, 0 to 8 % more than method 4. At
    a quality over 95 the fast methods write 15 to 30 % more without shaping.
    """
    if method >= _SIMPLE_METHODS or quality > _UNSHAPED_UP_TO_QUALITY:
        return Tuning(quality)
    share = grain_share(rgb)
    if share < _GRAINY:
        return Tuning(quality, 0)
    better = min(1.0, share / _ONE_STEP_BETTER)
    return Tuning(min(_UNSHAPED_UP_TO_QUALITY, quality + better), _HALF_SHAPING)


def grain_share(rgb: Pixels) -> float:
    """Return the share of SSIM that an image (H, W, 3) would lose without its grain.

    Of at most 4096 blocks of 8 x 8 pixels from the whole image, in a millisecond: the variance of
    the finest detail, up to what WebP drops, over the denominator of SSIM, twice the block's
    variance and a constant. Grain on even surfaces counts much, detail within detail little, and
    noise so strong that WebP keeps it little too. 0.001 to 0.007 for most photographs, 0.01 to 0.02
    with added noise of a standard deviation of 3 to 6; 0 for an image smaller than a block.
    Transparent pixels count as an even surface.
    """
    blocks = _sampled(rgb[..., _GREEN])
    if not len(blocks):
        return 0.0
    diagonal = blocks[:, ::2, ::2] - blocks[:, 1::2, ::2] - blocks[:, ::2, 1::2]
    diagonal += blocks[:, 1::2, 1::2]
    finest = np.square(diagonal / 2).mean(axis=(1, 2))
    contrast = 2 * blocks.var(axis=(1, 2)) + _SSIM_CONTRAST
    return float((np.minimum(finest, _MAX_LOST_VARIANCE) / contrast).mean())


def _sampled(plane: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return at most _MAX_BLOCKS blocks (N, 8, 8) from all over a plane (H, W)."""
    rows, columns = plane.shape[0] // _BLOCK, plane.shape[1] // _BLOCK
    whole = plane[: rows * _BLOCK, : columns * _BLOCK]
    grid = whole.reshape(rows, _BLOCK, columns, _BLOCK).transpose(0, 2, 1, 3)
    step = max(1, math.ceil(math.sqrt(rows * columns / _MAX_BLOCKS)))
    # From the middle of a step, but at least one block of a long thin image.
    first = min(step // 2, max(0, rows - 1)), min(step // 2, max(0, columns - 1))
    blocks = grid[first[0] :: step, first[1] :: step].reshape(-1, _BLOCK, _BLOCK)
    return blocks[:_MAX_BLOCKS].astype(np.float32)
