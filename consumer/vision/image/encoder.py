"""Pixels to WebP files, without metadata.

The package ``webp`` passes the pixels to libwebp unchanged and has all its settings. Pillow copies
them twice, as 4 bytes each (12 megapixels: 556 instead of 475 ms), and OpenCV has no ``method``.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import webp
from webp import ffi, lib  # type: ignore[attr-defined]

from consumer.vision.image.decoder import DecodedImage, Pixels
from consumer.vision.image.webp_tuning import Tuning, tuning

_FITS_ANY_IMAGE = 2
_COLOUR_CHANNELS = 3


class EncoderError(Exception):
    """libwebp cannot encode the image."""


def encode_webp(image: DecodedImage, *, quality: int = 90, method: int = 2) -> bytes:
    """Return ``image`` as a lossy WebP file, see ``webp_encoder``."""
    return webp_encoder(image, quality=quality, method=method)()


def webp_encoder(image: DecodedImage, *, quality: int, method: int) -> Callable[[], bytes]:
    """Return what encodes ``image`` as a lossy WebP file without metadata; alpha is kept exactly.

    It holds a copy of half the image's size, so that the caller can free the image before.

    ``quality``: 0 to 100. ``method``: 0 to 6. A WebP file has 512 KiB for how its blocks are
    predicted. Methods 0 and 1 ignore this limit, and photographs of more than 15 megapixels may
    exceed it; then method 2 encodes them, which respects it.

    Both raise EncoderError: libwebp cannot encode the image.
    """
    pixels = image.rgb if image.alpha is None else np.dstack((image.rgb, image.alpha))
    return partial(_encode, _picture(pixels), method, tuning(image.rgb, quality, method), quality)


def _encode(picture: webp.WebPPicture, method: int, tuned: Tuning, quality: int) -> bytes:
    try:
        return _encoded(picture, method, tuned)
    except EncoderError:
        if method >= _FITS_ANY_IMAGE:
            raise
    return _encoded(picture, _FITS_ANY_IMAGE, Tuning(quality))


def _picture(pixels: Pixels) -> webp.WebPPicture:
    """Return pixels (H, W, 3 or 4) as libwebp's picture, in its own format: 1.5 bytes each.

    ``WebPPicture.from_numpy`` would keep 4 bytes each and convert them later.
    """
    height, width, channels = pixels.shape
    picture = webp.WebPPicture.new(width, height)
    fill = lib.WebPPictureImportRGB if channels == _COLOUR_CHANNELS else lib.WebPPictureImportRGBA
    pixels = np.ascontiguousarray(pixels)
    if not fill(picture.ptr, ffi.from_buffer("uint8_t[]", pixels), width * channels):
        raise MemoryError("no memory for the image to encode")
    return picture


def _encoded(picture: webp.WebPPicture, method: int, tuned: Tuning) -> bytes:
    config = webp.WebPConfig.new(quality=tuned.quality, method=method)
    config.ptr.sns_strength = tuned.shaping
    try:
        return bytes(picture.encode(config).buffer())
    except (webp.WebPError, AttributeError) as error:
        # AttributeError: a defect of the package (0.4.0) where it reads libwebp's error code.
        size = f"{picture.ptr.width} x {picture.ptr.height}"
        raise EncoderError(f"libwebp cannot encode {size} pixels with method {method}") from error
