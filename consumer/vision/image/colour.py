"""Convert images from their colour profile to sRGB."""

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

_MAX_REMEMBERED = 64
_MAX_SRGB_BYTES = 1 << 16
"""Profiles of sRGB are smaller. A larger profile is applied without a test, and not remembered."""
_MAX_ROUNDING = 1
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_SHADES = np.arange(256, dtype=np.uint8)
_LEVELS = np.append(_SHADES[::32], np.uint8(255))
_COLOURS = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS), axis=-1).reshape(-1, 3)
_PROBES = {
    "L": _SHADES[None],
    "RGB": np.concatenate([np.repeat(_SHADES[:, None], 3, axis=1), _COLOURS])[None],
}


def converted(image: Image.Image, icc: bytes) -> Image.Image | None:
    """Convert an L, RGB or CMYK image from profile ``icc`` to sRGB, as RGB; RGB perhaps in place.

    Return None if there is nothing to do, as for profiles of sRGB, or ``icc`` is unusable.
    """
    if image.mode == "L" and icc[16:20] == b"RGB ":
        image = image.convert("RGB")  # browsers apply such a profile to grey images too
    try:
        if image.mode in _PROBES and len(icc) <= _MAX_SRGB_BYTES and _is_srgb(icc, image.mode):
            return None
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if image.mode != "RGB":
            return ImageCms.profileToProfile(image, profile, _SRGB, outputMode="RGB")
        # In place: half the memory. A transform that fails does so before it writes.
        ImageCms.profileToProfile(image, profile, _SRGB, inPlace=True)
        return image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@lru_cache(_MAX_REMEMBERED)
def _is_srgb(icc: bytes, mode: str) -> bool:
    """Whether ``icc`` changes colours by no more than rounding. Raises as Pillow.

    The name of a profile does not help: linear light with sRGB's primaries is called "Linear sRGB",
    and many profiles of sRGB have other names. Results are remembered, as profiles are few.
    """
    probe = _PROBES[mode]
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    result = ImageCms.profileToProfile(Image.fromarray(probe), profile, _SRGB, outputMode="RGB")
    change = np.array(result, np.int16) - (probe[..., None] if mode == "L" else probe)
    return bool(np.abs(change).max() <= _MAX_ROUNDING)
