"""Functions that build unusual image files."""

import struct
import zlib
from functools import cache
from typing import Any

from tests.corpus.cases import ExpectedImage, Pixels
from tests.unit.vision.pictures import (
    chunk,
    encoded,
    png,
    quarters,
)

PLAIN = ExpectedImage(60, 40, quarters())
FORMATS = ("JPEG", "PNG", "WEBP")
EXIF = b"Exif\0\0"


def jpeg_of(pixels: Pixels | None = None, **options: Any) -> bytes:
    return encoded(quarters() if pixels is None else pixels, "JPEG", quality=95, **options)


def png_of(*chunks: bytes) -> bytes:
    return png(2, 8, quarters(), *chunks)


def webp_of(**options: Any) -> bytes:
    return encoded(quarters(), "WEBP", lossless=True, **options)


@cache
def zeros(megabytes: int) -> bytes:
    return zlib.compress(bytes(megabytes << 20), 6)


def resized(data: bytes, width: int, height: int) -> bytes:
    """Return the same JPEG or PNG with another size in its header."""
    changed = bytearray(data)
    if data.startswith(b"\xff\xd8"):
        struct.pack_into(">HH", changed, data.index(b"\xff\xc0") + 5, height, width)
    else:
        struct.pack_into(">II", changed, 16, width, height)
        struct.pack_into(">I", changed, 29, zlib.crc32(changed[12:29]))
    return bytes(changed)


def blank(width: int, height: int) -> bytes:
    """Return a white PNG of one bit per pixel: a few kilobytes at any size."""
    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * -(-width // 8)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def typed(colour: int, depth: int) -> bytes:
    changed = bytearray(png_of())
    changed[24:26] = depth, colour
    struct.pack_into(">I", changed, 29, zlib.crc32(changed[12:29]))
    return bytes(changed)
