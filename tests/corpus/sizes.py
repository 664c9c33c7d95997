"""Images above a size limit, and images just below it."""

import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from schemas.contract.errors import ImageErrorCode as Code
from tests.corpus.builders import (
    PLAIN,
    blank,
    jpeg_of,
    png_of,
    resized,
    webp_of,
    zeros,
)
from tests.corpus.cases import ExpectedImage, ImageCase
from tests.unit.vision.pictures import (
    chunk,
    encoded,
    riff,
    tiff,
)


def sides() -> Iterator[ImageCase]:
    """The longest side allowed, and longer ones."""
    for width, height in ((16383, 1), (1, 16383), (16383, 9)):
        yield ImageCase(f"PNG {width}x{height}", blank(width, height), ExpectedImage(width, height))
    for width, height in ((16384, 1), (1, 16384), (65535, 1), (1, 65535)):
        yield ImageCase(f"PNG {width}x{height}", blank(width, height), Code.SIDE_TOO_LONG)
    turned_round = blank(16384, 2)
    exif = turned_round[:33] + chunk(b"eXIf", tiff(6)) + turned_round[33:]
    yield ImageCase("PNG 16384x2 upright", exif, Code.SIDE_TOO_LONG)
    for width, height in ((65535, 1), (1, 65535)):
        data = resized(jpeg_of(), width, height)
        yield ImageCase(f"JPEG {width}x{height}", data, Code.SIDE_TOO_LONG)
    real = Image.new("L", (65500, 1), 200)
    yield ImageCase("JPEG 65500x1 in truth", encoded(real, "JPEG"), Code.SIDE_TOO_LONG)
    for width, height in ((0, 40), (60, 0), (0, 0)):
        data = resized(png_of(), width, height)
        yield ImageCase(f"PNG {width}x{height}", data, Code.CORRUPT_IMAGE)
        data = resized(jpeg_of(), width, height)
        yield ImageCase(f"JPEG {width}x{height}", data, Code.CORRUPT_IMAGE)


def bombs() -> Iterator[ImageCase]:
    """Small files of many pixels."""
    for side in (65535, 60000):
        data = resized(jpeg_of(), side, side)
        yield ImageCase(f"JPEG {side}x{side}", data, Code.TOO_MANY_PIXELS)
    for width, height in ((65535, 65535), (2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (4000, 3001)):
        data = resized(png_of(), width, height)
        yield ImageCase(f"PNG {width}x{height}", data, Code.TOO_MANY_PIXELS)
    yield ImageCase("PNG 10000x10000 in truth", blank(10_000, 10_000), Code.TOO_MANY_PIXELS)
    yield ImageCase("PNG 4000x3000 in truth", blank(4000, 3000), ExpectedImage(4000, 3000))
    yield ImageCase("PNG 4000x3000 of 60x40", resized(png_of(), 4000, 3000), Code.CORRUPT_IMAGE)
    canvas_alone = riff(_canvas(1 << 24, 1 << 24))
    yield ImageCase("WebP canvas 16777216x16777216", canvas_alone, Code.TOO_MANY_PIXELS)
    lossy, lossless = _lossy(16383, 16383), _lossless(16384, 16384)
    yield ImageCase("WebP frame 16383x16383", riff(lossy), Code.TOO_MANY_PIXELS)
    yield ImageCase("lossless WebP 16384x16384", riff(lossless), Code.TOO_MANY_PIXELS)
    on_canvas = riff(_canvas(16384, 16384), lossless)
    yield ImageCase("WebP canvas and frame 16384x16384", on_canvas, Code.TOO_MANY_PIXELS)


def two_sizes() -> Iterator[ImageCase]:
    """Files with two sizes: a decoder may use another one than the check."""
    whole, large = (b"VP8L", webp_of()[20:]), _lossless(16384, 16384)
    small = _lossy(10, 10)
    webps = {
        "small canvas behind a large frame": (large, _canvas(10, 10)),
        "small canvas behind a large lossy frame": (_lossy(16383, 16383), _canvas(10, 10)),
        "canvas of the same size behind its frame": (whole, _canvas(60, 40)),
        "two canvases": (_canvas(16384, 16384), _canvas(60, 40), whole),
        "canvas before and behind": (_canvas(16384, 16384), large, _canvas(10, 10)),
        "canvas smaller than its frame": (_canvas(10, 10), large),
        "canvas larger than its frame": (_canvas(16384, 16384), whole),
        "small frame before a large one": (small, large),
        "large frame before a small one": (large, small),
        "frame twice": (whole, whole),
        "frames of two sizes on a canvas": (_canvas(60, 40), whole, large),
        "something else before its frame": ((b"JUNK", b"xx"), whole),
        "bare frame that looks like a chunk": ((b"\x2f\xff\xff\xff", bytes(64)), small),
    }  # fmt: skip
    for kind, chunks in webps.items():
        yield ImageCase(f"WebP, {kind}", riff(*chunks), Code.CORRUPT_IMAGE)
    jpeg, frame = jpeg_of(), jpeg_of().index(b"\xff\xc0")
    for side in (8, 40_000):
        other = resized(jpeg, side, side)[frame : frame + 19]
        for place, at in {"before": frame, "behind": frame + 19}.items():
            data = jpeg[:at] + other + jpeg[at:]
            yield ImageCase(f"JPEG, {side}x{side} {place} its frame", data, Code.CORRUPT_IMAGE)
        header = resized(png_of(), side, side)[8:33]
        for place, at in {"before": 8, "behind": 33, "at the end of": -12}.items():
            data = png_of()[:at] + header + png_of()[at:]
            yield ImageCase(f"PNG, {side}x{side} {place} its header", data, Code.CORRUPT_IMAGE)


def busy() -> Iterator[ImageCase]:
    """Small files that need much work."""
    large = np.zeros((3000, 3000, 3), np.uint8)
    scans = encoded(large, "JPEG", progressive=True, quality=50)
    last = scans[scans.rindex(b"\xff\xda") : -2]
    data = scans[:-2] + last * 100_000 + b"\xff\xd9"
    yield ImageCase("JPEG of 100000 scans", data, Code.CORRUPT_IMAGE)
    start, rest = jpeg_of()[:2], jpeg_of()[2:]
    yield ImageCase("JPEG after 3 MB of fill bytes", start + b"\xff" * 3_000_000 + rest, PLAIN)
    yield ImageCase("JPEG after 3 MB of restarts", start + b"\xff\xd0" * 1_500_000 + rest, PLAIN)
    segments = start + b"\xff\xef\0\2" * 700_000 + rest
    yield ImageCase("JPEG of 700000 segments", segments, Code.CORRUPT_IMAGE)
    empty = chunk(b"IDAT", b"") * 250_000
    yield ImageCase("PNG of 250000 empty parts", png_of(empty), Code.CORRUPT_IMAGE)
    texts = png_of(chunk(b"tEXt", b"") * 250_000)
    yield ImageCase("PNG of 250000 texts", texts, Code.CORRUPT_IMAGE)
    chunks = webp_of()[8:] + b"JUNK\0\0\0\0" * 400_000
    data = b"RIFF" + struct.pack("<I", len(chunks)) + chunks
    yield ImageCase("WebP of 400000 chunks", data, Code.CORRUPT_IMAGE)
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 40, 8, 2, 0, 0, 0))
    flood = chunk(b"IDAT", zeros(100)) + chunk(b"IEND", b"")
    black = ExpectedImage(60, 40, np.zeros((40, 60, 3), np.uint8))
    yield ImageCase("PNG with 100 MB behind its pixels", head + flood, black)


def _canvas(width: int, height: int) -> tuple[bytes, bytes]:
    sides = (side - 1 for side in (width, height))
    return b"VP8X", b"\0\0\0\0" + b"".join(side.to_bytes(3, "little") for side in sides)


def _lossy(width: int, height: int) -> tuple[bytes, bytes]:
    """Return a frame that consists of its header alone."""
    return b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(50)


def _lossless(width: int, height: int) -> tuple[bytes, bytes]:
    """Return a frame that consists of its header alone."""
    return b"VP8L", b"\x2f" + struct.pack("<I", (height - 1) << 14 | (width - 1)) + bytes(50)
