"""Pixels to WebP files, without metadata.

`webp` hands the pixels to libwebp as they are and shows all its settings. Pillow copies them twice,
as 4 bytes each (12 megapixels: 556 instead of 475 ms), and OpenCV offers no ``method``.
"""

import numpy as np
import webp
from webp import ffi, lib  # type: ignore[attr-defined]

from consumer.vision.decoder import DecodedImage, Pixels
from consumer.vision.grain import grain

_SIMPLE_METHODS = 2  # below it
_FITS_ANY_SIZE = 2
_COLOUR_CHANNELS = 3

# Measured at quality 90 on 169 pictures: photographs of eleven sources, some with grain added, and
# drawn ones. Without shaping 32 lose more than 0.005 of SSIM against method 4. The threshold finds
# 28 of these, and with what is done for them none loses that; the other four lose up to 0.0056.
_GRAINY = 0.0085
_HALF_THE_SHAPING = 25  # of 100; libwebp's default is 50
_ONE_BETTER = 0.02  # grain at which a picture gets a whole step more of quality


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
        return _encoded(picture, _config(pixels, quality, method))
    except EncoderError:
        if method >= _FITS_ANY_SIZE:
            raise
    return _encoded(picture, _config(pixels, quality, _FITS_ANY_SIZE))


def _config(pixels: Pixels, quality: int, method: int) -> webp.WebPConfig:
    """Return libwebp's settings for a picture: its defaults but for how its grain is kept.

    Noise shaping takes bits from where there is much detail and gives them to where there is
    little. With methods 0 and 1 it makes most photographs 4 to 6 % larger for 0.001 of SSIM, so
    they go without. Grain is what it keeps: pictures with much would lose up to 0.01 against method
    4. These get half of the usual shaping and up to a step more of quality, which is 3 to 7 % more
    bytes for them, and lose 0.003 to 0.005.
    """
    if method >= _SIMPLE_METHODS:
        return webp.WebPConfig.new(quality=quality, method=method)
    amount = grain(pixels)
    grainy = amount >= _GRAINY
    better = min(1.0, amount / _ONE_BETTER) if grainy else 0.0
    config = webp.WebPConfig.new(quality=min(100.0, quality + better), method=method)
    config.ptr.sns_strength = _HALF_THE_SHAPING if grainy else 0
    return config


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


def _encoded(picture: webp.WebPPicture, config: webp.WebPConfig) -> bytes:
    try:
        return bytes(picture.encode(config).buffer())
    except (webp.WebPError, AttributeError) as error:
        # AttributeError: the package (0.4.0) does not get at the reason, which it wants to tell.
        size = f"{picture.ptr.width} x {picture.ptr.height}"
        method = config.ptr.method
        raise EncoderError(f"libwebp cannot encode {size} pixels with method {method}") from error
