"""Orientation of an image: as in Chromium 156, with the exceptions named here."""

import struct

import numpy as np
import pytest

from consumer.vision.image.scan import orientation
from tests.unit.vision.checks import decoded, off
from tests.unit.vision.pictures import (
    chunk,
    encoded,
    jpeg_segment,
    png,
    quarters,
    riff,
    stored_as,
    tiff,
)

MARK = b"Exif\0\0"
OTHER_MARK = b"Exif\0\xff"
XMP = b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='6'/>"


def jpeg(*segments: bytes) -> bytes:
    """Return a JPEG of an image on its side, with these APP1 segments."""
    data = encoded(stored_as(6), "JPEG", quality=95)
    for body in reversed(segments):
        data = jpeg_segment(data, 0xE1, body)
    return data


def entry(value: int, *, kind: int = 3, values: int = 1) -> bytes:
    return struct.pack("<HHIHH", 0x0112, kind, values, value, 0)


def directory(*entries: bytes) -> bytes:
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + b"".join(entries) + bytes(4)


def webp(*bodies: bytes) -> bytes:
    plain = encoded(stored_as(6), "WEBP", lossless=True)
    canvas = b"\x08\0\0\0" + (39).to_bytes(3, "little") + (59).to_bytes(3, "little")
    pixels = plain[20 : 20 + int.from_bytes(plain[16:20], "little")]
    return riff((b"VP8X", canvas), (b"VP8L", pixels), *((b"EXIF", body) for body in bodies))


def is_turned(data: bytes) -> bool:
    """Whether the image is upright; otherwise it must be as it is stored."""
    rgb = decoded(data).rgb
    upright = rgb.shape == quarters().shape
    assert off(decoded(data), quarters() if upright else stored_as(6)) < 12
    return upright


@pytest.mark.parametrize(
    ("segments", "turned"),
    [
        ((MARK + tiff(6),), True),
        ((OTHER_MARK + tiff(6),), True),
        ((b"Exif\0\x42" + tiff(6, order=">"),), True),
        ((b"Exif\xff\xff" + tiff(6),), False),
        ((b"exif\0\0" + tiff(6),), False),
        ((b"Exif" + tiff(6),), False),
        ((MARK, MARK + tiff(6)), True),
        ((OTHER_MARK, MARK + tiff(6)), True),
        ((MARK, OTHER_MARK, OTHER_MARK + tiff(6)), True),
        ((b"Exif", MARK + tiff(6)), True),
        ((b"Exif\0", MARK + tiff(6)), True),
        ((b"", MARK + tiff(6)), True),
        ((MARK + tiff(6), MARK), True),
        ((XMP, MARK + tiff(6)), True),
        ((XMP,), False),
        # One that says something, however little, is the only one that counts.
        ((MARK + b"\0", MARK + tiff(6)), False),
        ((MARK + b"XX*\0" * 9, MARK + tiff(6)), False),
        ((MARK + directory(), MARK + tiff(6)), False),
        ((MARK + tiff(6)[:20], MARK + tiff(6)), False),
        ((MARK + tiff(0), MARK + tiff(6)), False),
        ((MARK + tiff(1), MARK + tiff(6)), False),
        ((OTHER_MARK + tiff(6), MARK + tiff(1)), True),
    ],
)
def test_the_segments_of_a_jpeg(segments: tuple[bytes, ...], turned: bool) -> None:
    assert is_turned(jpeg(*segments)) is turned


def test_exif_counts_before_the_pixels_alone() -> None:
    data, body = jpeg(), MARK + tiff(6)
    segment = struct.pack(">BBH", 0xFF, 0xE1, len(body) + 2) + body
    start = data.index(b"\xff\xda")
    assert is_turned(data[:start] + segment + data[start:])
    assert not is_turned(data[:-2] + segment + data[-2:])
    assert not is_turned(data + segment)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (directory(entry(6)), 6),
        (directory(entry(9), entry(6)), 6),
        (directory(entry(0), entry(3)), 3),
        (directory(entry(3), entry(6)), 3),
        (directory(*[struct.pack("<HHII", 0x0100, 4, 1, 0)] * 5000, entry(6)), 6),
        (directory(entry(6))[:-4], 6),
        (directory(entry(6))[:-5], 1),
        (tiff(6, kind=4), 6),  # which Chromium ignores, and others heed
        (tiff(6, order=">", kind=4), 6),
        *((directory(entry(6, kind=kind)), 1) for kind in (0, 1, 2, 5, 7, 8, 9, 13)),
        (directory(entry(6, values=0)), 1),
        (directory(entry(6, values=2)), 1),
        (tiff(262), 1),
        (b"MM*\0" + tiff(6, order=">")[4:], 1),
    ],
)
def test_the_entries_of_a_directory(block: bytes, expected: int) -> None:
    assert orientation(block) == expected
    assert orientation(MARK + block) == expected


@pytest.mark.parametrize(
    ("bodies", "turned"),
    [
        ((tiff(6),), True),
        ((MARK + tiff(6),), True),
        ((tiff(6, order=">"),), True),
        ((tiff(6), tiff(1)), True),
        ((tiff(1), tiff(6)), False),
        ((b"", tiff(6)), False),
        ((b"XX*\0", tiff(6)), False),
    ],
)
def test_exif_of_png_and_webp(bodies: tuple[bytes, ...], turned: bool) -> None:
    """Of WebP Chromium does not heed it; Pillow, libvips and macOS do, and so do we."""
    assert is_turned(png(2, 8, stored_as(6), *(chunk(b"eXIf", body) for body in bodies))) is turned
    assert is_turned(webp(*bodies)) is turned


def test_a_damaged_exif_chunk_says_nothing() -> None:
    whole = chunk(b"eXIf", tiff(6))
    data = png(2, 8, stored_as(6), whole[:-1] + bytes([whole[-1] ^ 1]))
    assert not is_turned(data)
    assert np.array_equal(decoded(data).rgb, stored_as(6))
