"""Colour profiles: what they make of an image's numbers, in sRGB."""

import hashlib
import io
import threading

import numpy as np
from PIL import Image, ImageCms

MOST_KNOWN = 64
_LEAST_OFF = 2
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_SHADES = np.arange(256, dtype=np.uint8)
_LEVELS = np.append(_SHADES[::32], np.uint8(255))
_COLOURS = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS), axis=-1).reshape(-1, 3)
_PROBES = {
    "L": _SHADES[None],
    "RGB": np.concatenate([np.repeat(_SHADES[:, None], 3, axis=1), _COLOURS])[None],
}

_known: dict[bytes, bool] = {}
_lock = threading.Lock()


def converted(image: Image.Image, icc: bytes) -> Image.Image | None:
    """Convert an L, RGB or CMYK image from profile ``icc`` to sRGB, as RGB; RGB perhaps in place.

    None if there is nothing to do, as for the profiles of sRGB itself, or ``icc`` is unusable.
    """
    if image.mode == "L" and icc[16:20] == b"RGB ":
        image = image.convert("RGB")  # browsers apply such a profile to grey pictures too
    try:
        if image.mode in _PROBES and _is_srgb(icc, image.mode):
            return None
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        if image.mode != "RGB":
            return ImageCms.profileToProfile(image, profile, _SRGB, outputMode="RGB")
        # In place: half the memory. A transform that fails does so before it writes.
        ImageCms.profileToProfile(image, profile, _SRGB, inPlace=True)
        return image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _is_srgb(icc: bytes, mode: str) -> bool:
    """Whether ``icc`` leaves colours as they are but for rounding. Raises as Pillow.

    Its name does not tell: linear light with sRGB's primaries is called "Linear sRGB", and many
    a plain sRGB is not called so. Most images have one of a few profiles, so that is remembered.
    """
    key = hashlib.sha256(icc).digest() + mode.encode()
    with _lock:
        if key in _known:
            return _known[key]
    probe = _PROBES[mode]
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    answer = ImageCms.profileToProfile(Image.fromarray(probe), profile, _SRGB, outputMode="RGB")
    off = np.abs(np.array(answer, np.int16) - (probe[..., None] if mode == "L" else probe)).max()
    with _lock:
        if len(_known) >= MOST_KNOWN:
            del _known[next(iter(_known))]
        _known[key] = bool(off < _LEAST_OFF)
    return bool(off < _LEAST_OFF)
