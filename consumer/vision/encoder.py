"""Pixels to WebP files, without metadata.

`webp` hands the pixels to libwebp as they are and shows all its settings. Pillow copies them twice,
as 4 bytes each (12 megapixels: 556 instead of 475 ms), and OpenCV offers no ``method``.
"""

import numpy as np
import webp
from webp import ffi, lib  # type: ignore[attr-defined]

from consumer.vision.decoder import DecodedImage, Pixels

_SIMPLE_METHODS = 2  # below it
_FITS_ANY_SIZE = 2
_COLOUR_CHANNELS = 3


class EncoderError(Exception):
    """libwebp cannot encode the image."""


def encode_webp(image: DecodedImage, *, quality: int = 90, method: int = 2) -> bytes:
    """Return ``image`` as a lossy WebP file without metadata; alpha is kept exactly.

    ``quality``: 0 to 100. ``method``: effort, 0 to 6. A WebP file has 512 KiB for how its blocks
    are predicted. Methods 0 and 1 do not heed that, and photographs of more than 15 megapixels may
    take more: these are encoded with method 2, which does. Raises EncoderError.
    """
    pixels = image.rgb if image.alpha is None else np.dstack((image.rgb, image.alpha))
    picture = _picture(pixels)
    try:
        return _encoded(picture, quality, method)
    except EncoderError:
        if method >= _FITS_ANY_SIZE:
            raise
    return _encoded(picture, quality, _FITS_ANY_SIZE)


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


def _encoded(picture: webp.WebPPicture, quality: int, method: int) -> bytes:
    config = webp.WebPConfig.new(quality=quality, method=method)
    if method < _SIMPLE_METHODS:
        # Noise shaping takes from where there is much detail and gives to where there is little.
        # These methods then write 4 to 6 % more for photographs, for 0.001 of SSIM. Strong grain is
        # kept better with it: pictures of that lose up to 0.004 more without.
        config.ptr.sns_strength = 0
    try:
        return bytes(picture.encode(config).buffer())
    except (webp.WebPError, AttributeError) as error:
        # AttributeError: the package (0.4.0) does not get at the reason, which it wants to tell.
        size = f"{picture.ptr.width} x {picture.ptr.height}"
        raise EncoderError(f"libwebp cannot encode {size} pixels with method {method}") from error
