"""Files truncated inside each of their parts."""

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from schemas.contract.errors import ImageErrorCode as Code
from tests.corpus.cases import ImageCase
from tests.unit.vision.pictures import encoded, jpeg_segment, smooth, tiff
from tests.unit.vision.profiles import swapped_profile

_JPEG_NAMES = {
    0xC0: "SOF0", 0xC2: "SOF2", 0xC4: "DHT", 0xDA: "SOS", 0xDB: "DQT", 0xDD: "DRI",
    0xE0: "APP0", 0xE1: "APP1", 0xE2: "APP2", 0xEE: "APP14", 0xFE: "COM",
}  # fmt: skip


def truncated_images() -> list[ImageCase]:
    """Return each kind of file, truncated in each of its parts."""
    return [
        case
        for kind, data, parts in (
            *((kind, data, _jpeg_parts(data)) for kind, data in _jpegs()),
            *((kind, data, _png_parts(data)) for kind, data in _pngs()),
            *((kind, data, _webp_parts(data)) for kind, data in _webps()),
        )
        for case in _cuts(kind, data, dict(parts))
    ]


def _cuts(kind: str, data: bytes, parts: dict[str, tuple[int, int]]) -> Iterator[ImageCase]:
    known = 12 if "WebP" in kind else 8 if "PNG" in kind else 3
    for part, (start, end) in parts.items():
        places = {"after its first byte": start + 1, "half-way": (start + end) // 2}
        for where, place in places.items():
            code = Code.UNSUPPORTED_FORMAT if place < known else Code.CORRUPT_IMAGE
            yield ImageCase(f"{kind} cut in {part} {where}", data[:place], code)


def _jpegs() -> Iterator[tuple[str, bytes]]:
    exif, icc = b"Exif\0\0" + tiff(1), swapped_profile()
    yield (
        "JPEG",
        jpeg_segment(
            encoded(smooth(), "JPEG", exif=exif, icc_profile=icc, restart_marker_blocks=4),
            0xFE,
            b"hi",
        ),
    )
    yield "progressive JPEG", encoded(smooth(), "JPEG", progressive=True)
    yield "CMYK JPEG", encoded(Image.fromarray(smooth()).convert("CMYK"), "JPEG")


def _jpeg_parts(data: bytes) -> Iterator[tuple[str, tuple[int, int]]]:
    """The last of each kind of segment, with the pixels of the last scan."""
    position = 2
    yield "SOI", (0, 2)
    while data[position + 1] != 0xD9:
        marker = data[position + 1]
        end = position + 2 + struct.unpack_from(">H", data, position + 2)[0]
        yield _JPEG_NAMES[marker], (position, end)
        position = end
        if marker == 0xDA:
            while data[position] != 0xFF or data[position + 1] in {0, *range(0xD0, 0xD8)}:
                position += 1
            yield "its scan", (end, position)


def _pngs() -> Iterator[tuple[str, bytes]]:
    yield "PNG", encoded(smooth(), "PNG", exif=tiff(1), icc_profile=swapped_profile())
    palette = Image.fromarray(smooth()).quantize(16)
    yield "palette PNG", encoded(palette, "PNG", transparency=bytes(range(0, 256, 16)))


def _png_parts(data: bytes) -> Iterator[tuple[str, tuple[int, int]]]:
    yield "the signature", (0, 8)
    position = 8
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        yield f"{kind.decode()}", (position, position + 8 + length)
        yield f"{kind.decode()}'s checksum", (position + 8 + length, position + 12 + length)
        position += 12 + length


def _webps() -> Iterator[tuple[str, bytes]]:
    alpha = np.dstack((smooth(), smooth(channels=1)))
    icc = swapped_profile()
    yield "WebP", encoded(alpha, "WEBP", exif=tiff(1), icc_profile=icc, xmp=b"<x:xmpmeta/>")
    yield "lossless WebP", encoded(smooth(), "WEBP", lossless=True)


def _webp_parts(data: bytes) -> Iterator[tuple[str, tuple[int, int]]]:
    yield "RIFF", (0, 8)
    yield "its mark", (8, 12)
    position = 12
    while position < len(data):
        kind, length = struct.unpack_from("<4sI", data, position)
        yield kind.decode().strip(), (position, position + 8 + length)
        position += 8 + length + (length & 1)
