"""Convert images from their colour profile to sRGB."""

import hashlib
import io
import threading

import numpy as np
from PIL import Image, ImageCms

MAX_REMEMBERED = 64
_MAX_ROUNDING = 1
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

    Return None if there is nothing to do, as for profiles of sRGB, or ``icc`` is unusable.
    """
    if image.mode == "L" and icc[16:20] == b"RGB ":
        image = image.convert("RGB")  # browsers apply such a profile to grey images too
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
    """Whether ``icc`` changes colours by no more than rounding. Raises as Pillow.

    The name of a profile does not help: linear light with sRGB's primaries is called "Linear sRGB",
    and many profiles of sRGB have other names. Results are remembered, as profiles are few.
    """
    key = hashlib.sha256(icc).digest() + mode.encode()
    with _lock:
        if key in _known:
            return _known[key]
    probe = _PROBES[mode]
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    result = ImageCms.profileToProfile(Image.fromarray(probe), profile, _SRGB, outputMode="RGB")
    change = np.array(result, np.int16) - (probe[..., None] if mode == "L" else probe)
    is_srgb = bool(np.abs(change).max() <= _MAX_ROUNDING)
    with _lock:
        if len(_known) >= MAX_REMEMBERED:
            del _known[next(iter(_known))]
        _known[key] = is_srgb
    return is_srgb
