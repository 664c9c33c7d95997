"""Image files to pixels: upright, sRGB, 8 bits, without metadata.

OpenCV decodes JPEG, PNG and WebP. On 12 megapixels it takes 54 ms (JPEG) and 97 ms (WebP), Pillow
95 and 191 ms, with peaks of 6 and 10 bytes per pixel; and OpenCV refuses a file that is cut off at
any byte. Pillow does what OpenCV cannot: CMYK and colour profiles.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, JpegImagePlugin

from consumer.errors import ImageError
from consumer.vision.image.colour import converted
from consumer.vision.image.jpeg import lacks_pixels
from consumer.vision.image.scan import orientation, scan
from consumer.vision.image.structure import Container, corrupt
from schemas.contract.errors import ImageErrorCode
from schemas.contract.formats import ImageFormat

MAX_SIDE = 16383
_SIDEWAYS = {5, 6, 7, 8}
_CMYK_CHANNELS = 4
_COLOUR_CHANNELS = 3
_OPAQUE = 255
# Peaks of resident memory over decode, letterbox, cover and encode, each in a new process on 12
# megapixels of noise: up to 15.4; 19.3 if decoding needs Pillow or 16 bits; 46.4 with alpha, due to
# its lossless encoding. Encoding with method 3 or more keeps tokens: for each pixel of noise 20
# bytes more (3 to 4 for a photo).
_BYTES_PER_PIXEL = 16
_BYTES_PER_PIXEL_CONVERTED = 20
_BYTES_PER_PIXEL_WITH_ALPHA = 48
_BYTES_PER_PIXEL_OF_TOKENS = 20
_TOKENS_FROM_METHOD = 3
_BASE_BYTES = 8 << 20
_AS_RGB = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """Format, size and memory of an image, known before it is decoded.

    ``width`` and ``height``: upright (after EXIF orientation), in pixels. ``decoded_bytes``: peak
    memory of decoding, covering and encoding it, measured on the worst content, without the file
    itself, which the caller holds.
    """

    format: ImageFormat
    width: int
    height: int
    decoded_bytes: int


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """Pixels: ``rgb`` uint8 (H, W, 3) sRGB, C-contiguous; ``alpha`` uint8 (H, W), None if opaque.

    Where ``alpha`` is 0 the colour is 0 too, so that invisible pixels cannot show a plate.
    """

    rgb: Pixels
    alpha: Pixels | None


def read_header(data: bytes, *, max_pixels: int, method: int = 2) -> ImageHeader:
    """Read the header of an image file and check it, without decoding the pixels.

    An MPO (a JPEG followed by previews) counts as its first image. ``method``: the method for
    ``webp_encoder``; ``decoded_bytes`` depends on it.

    Raises:
        ImageError: unsupported_format, corrupt_image, animated_image, too_many_pixels or
            side_too_long.
    """
    container = _checked(data, max_pixels)
    width, height = container.width, container.height
    if orientation(container.exif) in _SIDEWAYS:
        width, height = height, width
    needed = _BASE_BYTES + len(data) + width * height * _bytes_per_pixel(container, method)
    return ImageHeader(container.format, width, height, needed)


def decode(data: bytes, *, max_pixels: int) -> DecodedImage:
    """Decode an image file to upright sRGB pixels without metadata.

    Raises:
        ImageError: the codes of ``read_header``; corrupt_image for any error of a decoder.
        MemoryError: too little memory is free now; the image may be good.
    """
    container = _checked(data, max_pixels)
    try:
        rgb, alpha = _pixels(data, container)
    except MemoryError:
        raise
    except Exception as error:
        if _lacks_memory(error, container):
            raise MemoryError(f"no memory to decode the {container.format}") from error
        if isinstance(error, ImageError):
            raise
        raise corrupt(f"the {container.format} cannot be decoded") from error
    turn = orientation(container.exif)
    rgb = _upright(rgb, turn)
    if alpha is None or bool((alpha == _OPAQUE).all()):
        return DecodedImage(rgb, None)
    alpha = _upright(alpha, turn)
    rgb[alpha == 0] = 0
    return DecodedImage(rgb, alpha)


def _lacks_memory(error: Exception, container: Container) -> bool:
    """Whether a decoder failed for lack of memory, which most report as a damaged file."""
    if isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem:
        return True
    try:
        # This reserves address space only; memory that is not written to is not taken.
        np.empty(container.width * container.height * _BYTES_PER_PIXEL, np.uint8)
    except MemoryError:
        return True
    return False


def _checked(data: bytes, max_pixels: int) -> Container:
    container = scan(data)
    size = f"{container.width} x {container.height}"
    if container.animated:
        raise ImageError(ImageErrorCode.ANIMATED_IMAGE, f"the {container.format} is animated")
    if container.width * container.height > max_pixels:
        raise ImageError(ImageErrorCode.TOO_MANY_PIXELS, f"{size} is over {max_pixels} pixels")
    if max(container.width, container.height) > MAX_SIDE:
        raise ImageError(ImageErrorCode.SIDE_TOO_LONG, f"{size} has a side over {MAX_SIDE}")
    return container


def _bytes_per_pixel(container: Container, method: int) -> int:
    tokens = _BYTES_PER_PIXEL_OF_TOKENS if method >= _TOKENS_FROM_METHOD else 0
    if container.alpha:
        return _BYTES_PER_PIXEL_WITH_ALPHA + tokens
    cmyk = container.format == "JPEG" and container.channels == _CMYK_CHANNELS
    if cmyk or container.icc or container.bit_depth > 8:
        return _BYTES_PER_PIXEL_CONVERTED + tokens
    return _BYTES_PER_PIXEL + tokens


def _pixels(data: bytes, container: Container) -> tuple[Pixels, Pixels | None]:
    """Return stored (not yet upright) RGB in sRGB, and alpha."""
    stored = _stored(data, container)
    if container.format == "JPEG" and container.channels == _CMYK_CHANNELS:
        return _cmyk_to_srgb(stored, container.icc), None
    if container.format == "JPEG" and container.channels == _COLOUR_CHANNELS:
        return _to_srgb(stored, container.icc), None
    alpha = _colour_key(stored, container)
    if stored.dtype == np.uint16:
        stored = cv2.convertScaleAbs(stored, alpha=1 / 257)
    if stored.ndim == 2:
        return _to_srgb(stored, container.icc), alpha
    if stored.shape[2] > _COLOUR_CHANNELS:
        alpha = stored[..., 3].copy()
    if container.channels < _COLOUR_CHANNELS:  # grey with alpha, of which OpenCV makes BGRA
        return _to_srgb(stored[..., 0].copy(), container.icc), alpha
    code = cv2.COLOR_BGR2RGB if stored.shape[2] == _COLOUR_CHANNELS else cv2.COLOR_BGRA2RGB
    stored = cv2.cvtColor(stored, code)
    return _to_srgb(stored, container.icc), alpha


def _stored(data: bytes, container: Container) -> Any:
    """Return the stored values: CMYK or RGB of a JPEG, grey, or BGR with or without alpha."""
    if container.several_scans and lacks_pixels(_bare(data, container)):
        raise corrupt("the JPEG is truncated")
    first, *others = container.endings
    stored = _decoded(_bare(data, container, first), container)
    for ending in others:
        if not np.array_equal(_decoded(_bare(data, container, ending), container), stored):
            raise corrupt("the JPEG is truncated")
    return stored


def _bare(data: bytes, container: Container, ending: bytes = b"") -> bytes:
    """Return the parts of a file that its decoder needs, in one copy."""
    return b"".join([*(memoryview(data)[part] for part in container.parts), ending])


def _decoded(bare: bytes, container: Container) -> Any:
    if container.format == "JPEG" and container.channels == _CMYK_CHANNELS:
        return _cmyk(bare)
    colour_jpeg = container.format == "JPEG" and container.channels == _COLOUR_CHANNELS
    flags = _AS_RGB if colour_jpeg else cv2.IMREAD_UNCHANGED
    stored: Any = cv2.imdecode(np.frombuffer(bare, np.uint8), flags)
    if stored is None or stored.shape[:2] != (container.height, container.width):
        raise corrupt(f"the {container.format} is truncated or damaged")
    return stored


def _colour_key(stored: Any, container: Container) -> Pixels | None:
    """Return the alpha of a grey PNG's transparent shade, which OpenCV ignores."""
    if container.transparent_grey is None or stored.ndim != 2:
        return None
    key = container.transparent_grey
    if container.bit_depth < 8:
        key = key * 255 // (2**container.bit_depth - 1)
    return np.where(stored == key, 0, _OPAQUE).astype(np.uint8)


def _cmyk(bare: bytes) -> Pixels:
    """Decode a CMYK JPEG; Pillow takes the values as inverted, as all common writers store them.

    ``Image.open`` is not used: it has a limit of its own for the size.
    """
    with JpegImagePlugin.JpegImageFile(io.BytesIO(bare)) as image:
        return np.array(image)


def _cmyk_to_srgb(stored: Pixels, icc: bytes) -> Pixels:
    image = Image.fromarray(stored, "CMYK")
    in_srgb = converted(image, icc)
    return np.array(in_srgb if in_srgb is not None else image.convert("RGB"))


def _to_srgb(pixels: Any, icc: bytes) -> Pixels:
    """Return uint8 (H, W, 3) for grey (H, W) or RGB (H, W, 3) ``pixels`` with profile ``icc``."""
    if icc:
        in_srgb = converted(Image.fromarray(pixels), icc)
        if in_srgb is not None:
            return np.array(in_srgb)
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    return np.asarray(pixels, np.uint8)


def _upright(pixels: Pixels, turn: int) -> Pixels:
    """Apply EXIF orientation ``turn`` (1 to 8)."""
    upright = _TURNS.get(turn)
    return pixels if upright is None else np.asarray(upright(pixels), np.uint8)


_TURNS: dict[int, Callable[[Any], Any]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.flip(cv2.transpose(pixels), -1),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}
