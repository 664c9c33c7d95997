"""Images of every kind that the service accepts, with the expected pixels."""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from schemas.contract.errors import ImageErrorCode as Code
from tests.corpus.builders import EXIF, FORMATS, PLAIN, jpeg_of, png_of, webp_of, zeros
from tests.corpus.cases import SECRET, ExpectedImage, ImageCase, Pixels
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
from tests.unit.vision.profiles import grey_profile, swapped_profile


def plain() -> Iterator[ImageCase]:
    """Ordinary images."""
    source = Image.fromarray(quarters())
    options: dict[str, dict[str, Any]] = {
        "baseline": {}, "progressive": {"progressive": True}, "4:4:4": {"subsampling": 0},
        "4:2:2": {"subsampling": 1}, "with restarts": {"restart_marker_blocks": 1},
    }  # fmt: skip
    for kind, chosen in options.items():
        yield ImageCase(f"JPEG {kind}", jpeg_of(**chosen), PLAIN)
    cmyk = source.convert("CMYK")
    yield ImageCase("CMYK JPEG", encoded(cmyk, "JPEG", quality=95), PLAIN)
    data = encoded(cmyk, "JPEG", quality=95, progressive=True)
    yield ImageCase("progressive CMYK JPEG", data, PLAIN)
    grey = np.full((40, 60, 3), 90, np.uint8)
    yield ImageCase("grey JPEG", jpeg_of(grey[..., 0]), ExpectedImage(60, 40, grey))
    yield ImageCase("lossy WebP", encoded(quarters(), "WEBP", quality=95), PLAIN)
    dot = np.full((1, 1, 3), 200, np.uint8)
    for kind in FORMATS:
        data = encoded(Image.fromarray(dot), kind)
        yield ImageCase(f"1x1 {kind}", data, ExpectedImage(1, 1, dot))


def turned() -> Iterator[ImageCase]:
    """Every EXIF orientation of every format."""
    for turn in range(1, 9):
        for kind in FORMATS:
            order = "<" if turn % 2 else ">"
            data = encoded(stored_as(turn), kind, quality=95, exif=EXIF + tiff(turn, order=order))
            yield ImageCase(f"{kind} of orientation {turn}", data, PLAIN)


def profiles() -> Iterator[ImageCase]:
    """ICC profiles: a usable one is applied, any other ignored."""
    icc = swapped_profile()
    swapped = quarters()
    swapped[:20, :30], swapped[:20, 30:] = (0, 255, 0), (255, 0, 0)
    seen = ExpectedImage(60, 40, swapped)
    for kind in FORMATS:
        data = encoded(quarters(), kind, quality=95, icc_profile=icc)
        yield ImageCase(f"{kind} with a profile", data, seen)
    halves = [b"ICC_PROFILE\0\1\2" + icc[:200], b"ICC_PROFILE\0\2\2" + icc[200:]]
    both = jpeg_segment(jpeg_segment(jpeg_of(), 0xE2, halves[0]), 0xE2, halves[1])
    yield ImageCase("profile in two parts, out of order", both, seen)
    useless = {
        "missing its second part": halves[0], "missing its first part": halves[1],
        "empty": b"ICC_PROFILE\0\1\1", "noise": b"ICC_PROFILE\0\1\1" + bytes(range(256)) * 9,
        "cut within its mark": b"ICC_PROFILE\0", "of grey": b"ICC_PROFILE\0\1\1" + grey_profile(2),
    }  # fmt: skip
    for kind, body in useless.items():
        code = Code.CORRUPT_IMAGE if body == b"ICC_PROFILE\0" else None
        yield ImageCase(f"profile {kind}", jpeg_segment(jpeg_of(), 0xE2, body), code or PLAIN)
    packed = b"p\0\0" + zlib.compress(icc)
    yield ImageCase("PNG profile cut", png_of(chunk(b"iCCP", packed[:-60])), PLAIN)
    yield ImageCase("PNG profile without a name", png_of(chunk(b"iCCP", b"nothing")), PLAIN)
    bomb = chunk(b"iCCP", b"p\0\0" + zeros(100))
    yield ImageCase("PNG profile of 100 MB", png_of(bomb), PLAIN)
    bombs = chunk(b"iCCP", b"p\0\0" + zeros(8)) * 400
    yield ImageCase("400 PNG profiles of 8 MB", png_of(bombs), PLAIN)
    dim, light = np.full((40, 60, 3), 128, np.uint8), np.full((40, 60, 3), 188, np.uint8)
    linear = {"gAMA": struct.pack(">I", 100_000), "cICP": bytes((1, 8, 0, 1))}
    for kind, body in linear.items():
        data = png(2, 8, dim, chunk(kind.encode(), body))
        yield ImageCase(f"PNG of linear light, by its {kind}", data, ExpectedImage(60, 40, light))
    canvas = b"\x20\0\0\0" + (59).to_bytes(3, "little") + (39).to_bytes(3, "little")
    data = riff((b"VP8X", canvas), (b"ICCP", bytes(9)), (b"VP8L", webp_of()[20:]))
    yield ImageCase("WebP profile of zeros", data, PLAIN)


def metadata() -> Iterator[ImageCase]:
    """Megabytes of metadata, and strings that must not reach the result."""
    filler = SECRET + bytes(65_000)
    many = b"".join(struct.pack(">BBH", 0xFF, 0xE1, len(filler) + 2) + filler for _ in range(60))
    yield ImageCase("JPEG with 60 huge segments", jpeg_of()[:2] + many + jpeg_of()[2:], PLAIN)
    yield ImageCase("JPEG comment", jpeg_segment(jpeg_of(), 0xFE, SECRET), PLAIN)
    yield ImageCase("PNG with huge text", png_of(chunk(b"iTXt", SECRET * 200_000)), PLAIN)
    text = chunk(b"zTXt", b"a\0\0" + zeros(100))
    yield ImageCase("PNG text of 100 MB", png_of(text), PLAIN)
    yield ImageCase("PNG of unknown chunks", png_of(chunk(b"seCr", SECRET) * 500), PLAIN)
    yield ImageCase("WebP with huge XMP", webp_of(xmp=SECRET * 200_000), PLAIN)
    secret = EXIF + tiff(1) + SECRET
    for kind in FORMATS:
        data = encoded(quarters(), kind, quality=95, exif=secret)
        yield ImageCase(f"{kind} with a secret in EXIF", data, PLAIN)


def png_kinds() -> Iterator[ImageCase]:
    """Every colour type and bit depth, interlaced too."""
    kinds = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4),
             (3, 8), (4, 8), (4, 16), (6, 8), (6, 16)]  # fmt: skip
    rng = np.random.default_rng(0)
    for colour, depth in kinds:
        channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
        samples = rng.integers(0, 2**depth, (11, 13, channels))
        palette = [chunk(b"PLTE", rng.bytes(3 * 2**depth))] if colour == 3 else []
        data = png(colour, depth, samples, *palette)
        yield ImageCase(f"PNG of type {colour} and {depth} bits", data, ExpectedImage(13, 11))
    yield ImageCase("interlaced PNG", _interlaced(quarters()), PLAIN)


def _interlaced(pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
              (1, 0, 2, 1)]  # fmt: skip
    rows = [
        b"\0" + row.tobytes()
        for top, left, down, across in passes
        for row in pixels[top::down, left::across]
    ]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 1))
    pixels_chunk = chunk(b"IDAT", zlib.compress(b"".join(rows)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels_chunk + chunk(b"IEND", b"")


def transparent() -> Iterator[ImageCase]:
    """Colour hidden in invisible pixels."""
    hidden = (250, 10, 250)
    flat = np.full((40, 60, 4), 120, np.uint8)
    flat[..., 3] = 255
    flat[10:30, 10:50] = (*hidden, 0)
    seen = ExpectedImage(60, 40, hidden=hidden)
    yield ImageCase("PNG with colour under alpha 0", encoded(flat, "PNG"), seen)
    webp = encoded(flat, "WEBP", lossless=True, exact=True)
    yield ImageCase("WebP with colour under alpha 0", webp, seen)
    flat[..., 3] = 0
    yield ImageCase("PNG that is wholly invisible", encoded(flat, "PNG"), seen)
    samples = np.zeros((40, 60, 1), int)
    samples[10:30, 10:50] = 1
    palette = chunk(b"PLTE", bytes((120, 120, 120, *hidden)))
    for opacity in (b"\xff\0", b"\0\0", b"\x80\0"):
        data = png(3, 1, samples, palette, chunk(b"tRNS", opacity))
        yield ImageCase(f"palette PNG with opacity {opacity.hex()}", data, seen)
    key = chunk(b"tRNS", struct.pack(">HHH", *hidden))
    keyed = np.where(samples == 1, np.array(hidden), 120)
    yield ImageCase("PNG with a colour key", png(2, 8, keyed, key), seen)
    short = png(2, 8, keyed, chunk(b"tRNS", b"\0"))
    yield ImageCase("PNG with half a colour key", short, ExpectedImage(60, 40))
    grey = png(0, 8, samples * 99, chunk(b"tRNS", b"\0"))
    yield ImageCase("grey PNG with half a key", grey, Code.CORRUPT_IMAGE)


def frames() -> Iterator[ImageCase]:
    """More than one image in a file."""
    several = [Image.fromarray(np.roll(quarters(), n, 0)) for n in range(3)]
    for kind in ("PNG", "WEBP"):
        data = encoded(several[0], kind, save_all=True, append_images=several[1:], duration=50)
        yield ImageCase(f"animated {kind}", data, Code.ANIMATED_IMAGE)
    late = chunk(b"fcTL", bytes(26)) + chunk(b"fdAT", bytes(9))
    yield ImageCase(
        "APNG without acTL", png_of()[:-12] + late + chunk(b"IEND", b""), Code.ANIMATED_IMAGE
    )
    canvas = b"\0\0\0\0" + (9).to_bytes(3, "little") * 2
    for body in (bytes(40), b""):
        data = riff((b"VP8X", canvas), (b"ANMF", body))
        yield ImageCase(f"WebP frame of {len(body)} bytes", data, Code.ANIMATED_IMAGE)
    data = encoded(several[0], "MPO", save_all=True, append_images=several[1:], quality=95)
    yield ImageCase("MPO: its first image", data, PLAIN)
    cut = data[: data.index(b"\xff\xd9") + 40]
    yield ImageCase("MPO cut in its second image", cut, PLAIN)
