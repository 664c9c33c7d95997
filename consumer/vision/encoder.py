"""Pixels to WebP files, without metadata.

`webp` hands the pixels to libwebp as they are and shows all its settings. Pillow copies them twice,
as 4 bytes each (12 megapixels: 556 instead of 475 ms), and OpenCV offers no ``method``.
"""

from typing import NamedTuple

import numpy as np
import webp
from webp import ffi, lib  # type: ignore[attr-defined]

from consumer.vision.decoder import DecodedImage, Pixels
from consumer.vision.grain import grain_share

_SIMPLE_METHODS = 2  # below it
_FITS_ANY_SIZE = 2
_COLOUR_CHANNELS = 3

# Measured at quality 90 on 169 images: photographs of eleven sources, some with noise added, and
# drawn ones. Without shaping 32 of them lose more than 0.005 of SSIM against method 4. The
# threshold finds 28 of these, and 9 others; as it encodes them, none of the 37 loses that. Of the
# four that it does not find the worst loses 0.0056.
_GRAINY = 0.0085
_HALF_THE_SHAPING = 25
_ONE_BETTER = 0.02  # share at which a picture gets a whole step more of quality
_UNSHAPED_UP_TO_QUALITY = 95


class EncoderError(Exception):
    """libwebp cannot encode the image."""


class Tuning(NamedTuple):
    """Settings of libwebp: ``quality``, 0 to 100, and ``shaping`` of noise, 0 to 100."""

    quality: float
    shaping: int = 50  # libwebp's default


def encode_webp(image: DecodedImage, *, quality: int = 90, method: int = 2) -> bytes:
    """Return ``image`` as a lossy WebP file without metadata; alpha is kept exactly.

    ``quality``: 0 to 100. ``method``: effort, 0 to 6. A WebP file has 512 KiB for how its blocks
    are predicted. Methods 0 and 1 do not heed that, and photographs of more than 15 megapixels may
    take more: these are encoded with method 2, which does. Raises EncoderError.
    """
    pixels = image.rgb if image.alpha is None else np.dstack((image.rgb, image.alpha))
    picture = _picture(pixels)
    try:
        return _encoded(picture, method, tuning(image.rgb, quality, method))
    except EncoderError:
        if method >= _FITS_ANY_SIZE:
            raise
    return _encoded(picture, _FITS_ANY_SIZE, Tuning(quality))


def tuning(rgb: Pixels, quality: int, method: int) -> Tuning:
    """Return the settings for an image: libwebp's own, but for methods 0 and 1.

    Noise shaping takes bits from where there is much detail and gives them to where there is
    little. With methods 0 and 1 it makes most photographs 4 to 6 % larger for 0.001 of SSIM, so
    they go without. Grain is what it keeps: without it images with much lose up to 0.01 against
    method 4. These get half of it, and up to a step more of quality, for those whose grain is alike
    everywhere and leaves nothing to shape: they lose at most 0.005, for 4 to 10 % more bytes than
    without, 0 to 8 % more than method 4's. At a quality over 95 libwebp's fast methods write 15 to
    30 % more if they do not shape.
    """
    if method >= _SIMPLE_METHODS or quality > _UNSHAPED_UP_TO_QUALITY:
        return Tuning(quality)
    share = grain_share(rgb)
    if share < _GRAINY:
        return Tuning(quality, 0)
    better = min(1.0, share / _ONE_BETTER)
    return Tuning(min(_UNSHAPED_UP_TO_QUALITY, quality + better), _HALF_THE_SHAPING)


def _picture(pixels: Pixels) -> webp.WebPPicture:
    """Return pixels (H, W, 3 or 4) as libwebp's, converted to what it encodes: 1.5 bytes each.

    ``WebPPicture.from_numpy`` would keep 4 bytes each and convert them later.
    """
    height, width, channels = pixels.shape
    picture = webp.WebPPicture.new(width, height)
    take = lib.WebPPictureImportRGB if channels == _COLOUR_CHANNELS else lib.WebPPictureImportRGBA
    pixels = np.ascontiguousarray(pixels)
    if not take(picture.ptr, ffi.from_buffer("uint8_t[]", pixels), width * channels):
        raise MemoryError("no memory for the picture to encode")
    return picture


def _encoded(picture: webp.WebPPicture, method: int, tuned: Tuning) -> bytes:
    config = webp.WebPConfig.new(quality=tuned.quality, method=method)
    config.ptr.sns_strength = tuned.shaping
    try:
        return bytes(picture.encode(config).buffer())
    except (webp.WebPError, AttributeError) as error:
        # AttributeError: the package (0.4.0) does not get at the reason, which it wants to tell.
        size = f"{picture.ptr.width} x {picture.ptr.height}"
        raise EncoderError(f"libwebp cannot encode {size} pixels with method {method}") from error
