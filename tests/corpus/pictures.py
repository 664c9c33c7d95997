"""Pictures that are odd, hostile, or both."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from schemas.errors import ImageErrorCode as Code
from tests.corpus.cases import SECRET, Picture, Pixels, Shown
from tests.corpus.cut import cut_pictures
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

PLAIN = Shown(60, 40, quarters())
FORMATS = ("JPEG", "PNG", "WEBP")
_EXIF = b"Exif\0\0"


@cache
def pictures() -> tuple[Picture, ...]:
    """All of them, each under a name of its own."""
    made = (
        *plain(), *turned(), *damaged_exif(), *profiles(), *metadata(), *png_kinds(),
        *transparent(), *frames(), *foreign(), *polyglots(), *sides(), *bombs(), *busy(),
        *inconsistent(), *cut_pictures(),
    )  # fmt: skip
    assert len({case.name for case in made}) == len(made)
    return made


def _jpeg(pixels: Pixels | None = None, **options: Any) -> bytes:
    return encoded(quarters() if pixels is None else pixels, "JPEG", quality=95, **options)


def _png(*chunks: bytes) -> bytes:
    return png(2, 8, quarters(), *chunks)


def _webp(**options: Any) -> bytes:
    return encoded(quarters(), "WEBP", lossless=True, **options)


@cache
def _zeros(megabytes: int) -> bytes:
    return zlib.compress(bytes(megabytes << 20), 6)


def plain() -> Iterator[Picture]:
    """Nothing is wrong with these."""
    source = Image.fromarray(quarters())
    options: dict[str, dict[str, Any]] = {
        "baseline": {}, "progressive": {"progressive": True}, "4:4:4": {"subsampling": 0},
        "4:2:2": {"subsampling": 1}, "with restarts": {"restart_marker_blocks": 1},
    }  # fmt: skip
    for kind, chosen in options.items():
        yield Picture(f"JPEG {kind}", _jpeg(**chosen), PLAIN)
    cmyk = source.convert("CMYK")
    yield Picture("CMYK JPEG", encoded(cmyk, "JPEG", quality=95), PLAIN)
    data = encoded(cmyk, "JPEG", quality=95, progressive=True)
    yield Picture("progressive CMYK JPEG", data, PLAIN)
    grey = np.full((40, 60, 3), 90, np.uint8)
    yield Picture("grey JPEG", _jpeg(grey[..., 0]), Shown(60, 40, grey))
    yield Picture("lossy WebP", encoded(quarters(), "WEBP", quality=95), PLAIN)
    dot = np.full((1, 1, 3), 200, np.uint8)
    for kind in FORMATS:
        data = encoded(Image.fromarray(dot), kind)
        yield Picture(f"1x1 {kind}", data, Shown(1, 1, dot))


def turned() -> Iterator[Picture]:
    """Every EXIF orientation of every format."""
    for turn in range(1, 9):
        for kind in FORMATS:
            order = "<" if turn % 2 else ">"
            data = encoded(stored_as(turn), kind, quality=95, exif=_EXIF + tiff(turn, order=order))
            yield Picture(f"{kind} of orientation {turn}", data, PLAIN)


def damaged_exif() -> Iterator[Picture]:
    """EXIF that says nothing usable: the picture is taken as it is stored."""
    bodies = {
        "empty": b"", "cut": tiff(6)[:20], "far offset": b"II*\0\xff\xff\xff\xff",
        "endless directory": b"MM\0*\0\0\0\x08\xff\xff", "orientation 0": tiff(0),
        "orientation 9": tiff(9), "orientation 65535": tiff(65535), "other order": b"XX*\0" * 9,
        "loop": b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "noise": bytes(range(256)) * 4,
    }  # fmt: skip
    for kind, body in bodies.items():
        yield Picture(f"EXIF {kind}", jpeg_segment(_jpeg(), 0xE1, _EXIF + body), PLAIN)
    twice = jpeg_segment(jpeg_segment(_jpeg(), 0xE1, _EXIF + tiff(3)), 0xE1, _EXIF + tiff(1))
    yield Picture("EXIF twice: the first holds", twice, PLAIN)
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='6'/>"
    yield Picture("orientation in XMP alone", jpeg_segment(_jpeg(), 0xE1, xmp), PLAIN)
    yield Picture("PNG with damaged eXIf", _png(chunk(b"eXIf", b"MM\0*\xff")), PLAIN)


def profiles() -> Iterator[Picture]:
    """ICC profiles: a usable one is applied, any other ignored."""
    icc = swapped_profile()
    swapped = quarters()
    swapped[:20, :30], swapped[:20, 30:] = (0, 255, 0), (255, 0, 0)
    seen = Shown(60, 40, swapped)
    for kind in FORMATS:
        data = encoded(quarters(), kind, quality=95, icc_profile=icc)
        yield Picture(f"{kind} with a profile", data, seen)
    halves = [b"ICC_PROFILE\0\1\2" + icc[:200], b"ICC_PROFILE\0\2\2" + icc[200:]]
    both = jpeg_segment(jpeg_segment(_jpeg(), 0xE2, halves[0]), 0xE2, halves[1])
    yield Picture("profile in two parts, out of order", both, seen)
    useless = {
        "missing its second part": halves[0], "missing its first part": halves[1],
        "empty": b"ICC_PROFILE\0\1\1", "noise": b"ICC_PROFILE\0\1\1" + bytes(range(256)) * 9,
        "cut within its mark": b"ICC_PROFILE\0", "of grey": b"ICC_PROFILE\0\1\1" + grey_profile(2),
    }  # fmt: skip
    for kind, body in useless.items():
        code = Code.CORRUPT_IMAGE if body == b"ICC_PROFILE\0" else None
        yield Picture(f"profile {kind}", jpeg_segment(_jpeg(), 0xE2, body), code or PLAIN)
    packed = b"p\0\0" + zlib.compress(icc)
    yield Picture("PNG profile cut", _png(chunk(b"iCCP", packed[:-60])), PLAIN)
    yield Picture("PNG profile without a name", _png(chunk(b"iCCP", b"nothing")), PLAIN)
    bomb = chunk(b"iCCP", b"p\0\0" + _zeros(100))
    yield Picture("PNG profile of 100 MB", _png(bomb), PLAIN)
    bombs = chunk(b"iCCP", b"p\0\0" + _zeros(8)) * 400
    yield Picture("400 PNG profiles of 8 MB", _png(bombs), PLAIN)
    canvas = b"\x20\0\0\0" + (59).to_bytes(3, "little") + (39).to_bytes(3, "little")
    data = riff((b"VP8X", canvas), (b"ICCP", bytes(9)), (b"VP8L", _webp()[20:]))
    yield Picture("WebP profile of zeros", data, PLAIN)


def metadata() -> Iterator[Picture]:
    """Megabytes of it, and strings that must not survive."""
    filler = SECRET + bytes(65_000)
    many = b"".join(struct.pack(">BBH", 0xFF, 0xE1, len(filler) + 2) + filler for _ in range(60))
    yield Picture("JPEG with 60 huge segments", _jpeg()[:2] + many + _jpeg()[2:], PLAIN)
    yield Picture("JPEG comment", jpeg_segment(_jpeg(), 0xFE, SECRET), PLAIN)
    yield Picture("PNG with huge text", _png(chunk(b"iTXt", SECRET * 200_000)), PLAIN)
    text = chunk(b"zTXt", b"a\0\0" + _zeros(100))
    yield Picture("PNG text of 100 MB", _png(text), PLAIN)
    yield Picture("PNG of unknown chunks", _png(chunk(b"seCr", SECRET) * 500), PLAIN)
    yield Picture("WebP with huge XMP", _webp(xmp=SECRET * 200_000), PLAIN)
    secret = _EXIF + tiff(1) + SECRET
    for kind in FORMATS:
        data = encoded(quarters(), kind, quality=95, exif=secret)
        yield Picture(f"{kind} with a secret in EXIF", data, PLAIN)


def png_kinds() -> Iterator[Picture]:
    """Every colour type and bit depth, interlaced too."""
    kinds = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4),
             (3, 8), (4, 8), (4, 16), (6, 8), (6, 16)]  # fmt: skip
    rng = np.random.default_rng(0)
    for colour, depth in kinds:
        channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
        samples = rng.integers(0, 2**depth, (11, 13, channels))
        palette = [chunk(b"PLTE", rng.bytes(3 * 2**depth))] if colour == 3 else []
        data = png(colour, depth, samples, *palette)
        yield Picture(f"PNG of type {colour} and {depth} bits", data, Shown(13, 11))
    yield Picture("interlaced PNG", _interlaced(quarters()), PLAIN)


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


def transparent() -> Iterator[Picture]:
    """Colour hidden in invisible pixels."""
    hidden = (250, 10, 250)
    flat = np.full((40, 60, 4), 120, np.uint8)
    flat[..., 3] = 255
    flat[10:30, 10:50] = (*hidden, 0)
    seen = Shown(60, 40, hidden=hidden)
    yield Picture("PNG with colour under alpha 0", encoded(flat, "PNG"), seen)
    webp = encoded(flat, "WEBP", lossless=True, exact=True)
    yield Picture("WebP with colour under alpha 0", webp, seen)
    flat[..., 3] = 0
    yield Picture("PNG that is wholly invisible", encoded(flat, "PNG"), seen)
    samples = np.zeros((40, 60, 1), int)
    samples[10:30, 10:50] = 1
    palette = chunk(b"PLTE", bytes((120, 120, 120, *hidden)))
    for opacity in (b"\xff\0", b"\0\0", b"\x80\0"):
        data = png(3, 1, samples, palette, chunk(b"tRNS", opacity))
        yield Picture(f"palette PNG with opacity {opacity.hex()}", data, seen)
    key = chunk(b"tRNS", struct.pack(">HHH", *hidden))
    keyed = np.where(samples == 1, np.array(hidden), 120)
    yield Picture("PNG with a colour key", png(2, 8, keyed, key), seen)
    short = png(2, 8, keyed, chunk(b"tRNS", b"\0"))
    yield Picture("PNG with half a colour key", short, Shown(60, 40))
    grey = png(0, 8, samples * 99, chunk(b"tRNS", b"\0"))
    yield Picture("grey PNG with half a key", grey, Code.CORRUPT_IMAGE)


def frames() -> Iterator[Picture]:
    """More than one image in a file."""
    several = [Image.fromarray(np.roll(quarters(), n, 0)) for n in range(3)]
    for kind in ("PNG", "WEBP"):
        data = encoded(several[0], kind, save_all=True, append_images=several[1:], duration=50)
        yield Picture(f"animated {kind}", data, Code.ANIMATED_IMAGE)
    late = chunk(b"fcTL", bytes(26)) + chunk(b"fdAT", bytes(9))
    yield Picture(
        "APNG without acTL", _png()[:-12] + late + chunk(b"IEND", b""), Code.ANIMATED_IMAGE
    )
    canvas = b"\0\0\0\0" + (9).to_bytes(3, "little") * 2
    for body in (bytes(40), b""):
        data = riff((b"VP8X", canvas), (b"ANMF", body))
        yield Picture(f"WebP frame of {len(body)} bytes", data, Code.ANIMATED_IMAGE)
    data = encoded(several[0], "MPO", save_all=True, append_images=several[1:], quality=95)
    yield Picture("MPO: its first image", data, PLAIN)
    cut = data[: data.index(b"\xff\xd9") + 40]
    yield Picture("MPO cut in its second image", cut, PLAIN)


def foreign() -> Iterator[Picture]:
    """Not JPEG, PNG or WebP, whatever they are called."""
    for kind in ("GIF", "BMP", "TIFF", "ICO", "PPM"):
        yield Picture(kind, encoded(quarters(), kind), Code.UNSUPPORTED_FORMAT)
    bodies = {
        "0 bytes": b"", "1 byte": b"\xff", "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "text": b"not a picture", "zeros": bytes(5000), "WAVE": b"RIFF\0\0\0\0WAVEfmt " + bytes(50),
        "PNG with a Unix line end": b"\x89PNG\n\x1a\n" + _png()[8:],
        "PNG with 7 bits": b"\x09" + _png()[1:], "JPEG without its start": _jpeg()[2:],
        "JPEG after a space": b" " + _jpeg(), "HEIC": b"\0\0\0\x18ftypheic" + bytes(99),
        "AVIF": b"\0\0\0\x1cftypavif" + bytes(99), "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
        "RIFX": b"RIFX" + _webp()[4:], "gzip": b"\x1f\x8b\x08" + bytes(99), "ELF": b"\x7fELF",
    }  # fmt: skip
    for kind, body in bodies.items():
        yield Picture(kind, body, Code.UNSUPPORTED_FORMAT)


def polyglots() -> Iterator[Picture]:
    """Something else at the same time: only the pixels get through, or nothing."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("secret.txt", SECRET)
    script = b"<script>alert('" + SECRET + b"')</script>"
    extras = {"ZIP": packed.getvalue(), "HTML": script, "PNG": _png(chunk(b"tEXt", SECRET))}
    for kind, tail in extras.items():
        yield Picture(f"JPEG and {kind}", _jpeg() + tail, PLAIN)
        yield Picture(f"PNG and {kind}", _png() + tail, PLAIN)
        yield Picture(f"WebP and {kind}", _webp() + tail, PLAIN)
    yield Picture("JPEG with PHP", jpeg_segment(_jpeg(), 0xFE, b"<?php " + SECRET), PLAIN)
    bomb = _zeros(50)
    yield Picture("JPEG with a ZIP bomb behind it", _jpeg() + packed.getvalue() + bomb, PLAIN)
    for kind, head in {"GIF": b"GIF89a", "PDF": b"%PDF-1.4\n", "ZIP": b"PK\3\4"}.items():
        yield Picture(f"{kind} and JPEG", head + _jpeg(), Code.UNSUPPORTED_FORMAT)
    yield Picture("ZIP alone", packed.getvalue(), Code.UNSUPPORTED_FORMAT)
    yield Picture("JPEG mark before a PNG", b"\xff\xd8\xff" + _png(), Code.CORRUPT_IMAGE)


def _resized(data: bytes, width: int, height: int) -> bytes:
    """The same JPEG or PNG with another size in its header."""
    changed = bytearray(data)
    if data.startswith(b"\xff\xd8"):
        struct.pack_into(">HH", changed, data.index(b"\xff\xc0") + 5, height, width)
    else:
        struct.pack_into(">II", changed, 16, width, height)
        struct.pack_into(">I", changed, 29, zlib.crc32(changed[12:29]))
    return bytes(changed)


def _blank(width: int, height: int) -> bytes:
    """A white PNG of one bit per pixel, a few kilobytes however large."""
    packer = zlib.compressobj(9)
    row = b"\0" + b"\xff" * -(-width // 8)
    body = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def sides() -> Iterator[Picture]:
    """As long as a side may be, and longer."""
    for width, height in ((16383, 1), (1, 16383), (16383, 9)):
        yield Picture(f"PNG {width}x{height}", _blank(width, height), Shown(width, height))
    for width, height in ((16384, 1), (1, 16384), (65535, 1), (1, 65535)):
        yield Picture(f"PNG {width}x{height}", _blank(width, height), Code.SIDE_TOO_LONG)
    turned_round = _blank(16384, 2)
    exif = turned_round[:33] + chunk(b"eXIf", tiff(6)) + turned_round[33:]
    yield Picture("PNG 16384x2 upright", exif, Code.SIDE_TOO_LONG)
    for width, height in ((65535, 1), (1, 65535)):
        data = _resized(_jpeg(), width, height)
        yield Picture(f"JPEG {width}x{height}", data, Code.SIDE_TOO_LONG)
    real = Image.new("L", (65500, 1), 200)
    yield Picture("JPEG 65500x1 in truth", encoded(real, "JPEG"), Code.SIDE_TOO_LONG)
    for width, height in ((0, 40), (60, 0), (0, 0)):
        data = _resized(_png(), width, height)
        yield Picture(f"PNG {width}x{height}", data, Code.CORRUPT_IMAGE)
        data = _resized(_jpeg(), width, height)
        yield Picture(f"JPEG {width}x{height}", data, Code.CORRUPT_IMAGE)


def bombs() -> Iterator[Picture]:
    """Small files of many pixels."""
    for side in (65535, 60000):
        data = _resized(_jpeg(), side, side)
        yield Picture(f"JPEG {side}x{side}", data, Code.TOO_MANY_PIXELS)
    for width, height in ((65535, 65535), (2**31 - 1, 2**31 - 1), (2**32 - 1, 1), (4000, 3001)):
        data = _resized(_png(), width, height)
        yield Picture(f"PNG {width}x{height}", data, Code.TOO_MANY_PIXELS)
    yield Picture("PNG 10000x10000 in truth", _blank(10_000, 10_000), Code.TOO_MANY_PIXELS)
    yield Picture("PNG 4000x3000 in truth", _blank(4000, 3000), Shown(4000, 3000))
    yield Picture("PNG 4000x3000 of 60x40", _resized(_png(), 4000, 3000), Code.CORRUPT_IMAGE)
    for side in (16384, 1 << 24):
        canvas = b"\0\0\0\0" + (side - 1).to_bytes(3, "little") * 2
        data = riff((b"VP8X", canvas), (b"VP8L", _webp()[20:]))
        yield Picture(f"WebP canvas {side}x{side}", data, Code.TOO_MANY_PIXELS)
    lossy = b"\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(50)
    yield Picture("WebP frame 16383x16383", riff((b"VP8 ", lossy)), Code.TOO_MANY_PIXELS)
    lossless = b"\x2f" + struct.pack("<I", 16383 << 14 | 16383) + bytes(50)
    yield Picture("lossless WebP 16384x16384", riff((b"VP8L", lossless)), Code.TOO_MANY_PIXELS)


def busy() -> Iterator[Picture]:
    """Few bytes that would cost much work."""
    large = np.zeros((3000, 3000, 3), np.uint8)
    scans = encoded(large, "JPEG", progressive=True, quality=50)
    last = scans[scans.rindex(b"\xff\xda") : -2]
    data = scans[:-2] + last * 100_000 + b"\xff\xd9"
    yield Picture("JPEG of 100000 scans", data, Code.CORRUPT_IMAGE)
    start, rest = _jpeg()[:2], _jpeg()[2:]
    yield Picture("JPEG after 3 MB of fill bytes", start + b"\xff" * 3_000_000 + rest, PLAIN)
    yield Picture("JPEG after 3 MB of restarts", start + b"\xff\xd0" * 1_500_000 + rest, PLAIN)
    segments = start + b"\xff\xef\0\2" * 700_000 + rest
    yield Picture("JPEG of 700000 segments", segments, Code.CORRUPT_IMAGE)
    empty = chunk(b"IDAT", b"") * 250_000
    yield Picture("PNG of 250000 empty parts", _png(empty), Code.CORRUPT_IMAGE)
    texts = _png(chunk(b"tEXt", b"") * 250_000)
    yield Picture("PNG of 250000 texts", texts, Code.CORRUPT_IMAGE)
    chunks = _webp()[8:] + b"JUNK\0\0\0\0" * 400_000
    data = b"RIFF" + struct.pack("<I", len(chunks)) + chunks
    yield Picture("WebP of 400000 chunks", data, Code.CORRUPT_IMAGE)
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 60, 40, 8, 2, 0, 0, 0))
    flood = chunk(b"IDAT", _zeros(100)) + chunk(b"IEND", b"")
    black = Shown(60, 40, np.zeros((40, 60, 3), np.uint8))
    yield Picture("PNG with 100 MB behind its pixels", head + flood, black)


def inconsistent() -> Iterator[Picture]:
    """Files that contradict themselves."""
    frame = _jpeg().index(b"\xff\xc0")
    small = bytearray(_jpeg()[frame + 4 : frame + 19])
    struct.pack_into(">HH", small, 1, 8, 8)
    two = jpeg_segment(_jpeg(), 0xC0, bytes(small))
    for kind, patch in {"lossless": 0xC3, "hierarchical": 0xC5}.items():
        data = bytearray(_jpeg())
        data[frame + 1] = patch
        yield Picture(f"JPEG that claims to be {kind}", bytes(data), Code.CORRUPT_IMAGE)
    header, end = _png()[8:33], chunk(b"IEND", b"")
    wrong = bytearray(_png())
    wrong[-14] ^= 0xFF
    canvas = b"\0\0\0\0" + (9).to_bytes(3, "little") * 2
    long_segment = struct.pack(">BBH", 0xFF, 0xE5, 65535)
    bodies = {
        "JPEG with two frames": two,
        "JPEG without pixels": b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(11) + b"\xff\xd9",
        "JPEG of 3 bytes": b"\xff\xd8\xff", "JPEG without tables": _without_tables(_jpeg()),
        "JPEG with an endless segment": _jpeg()[:2] + long_segment + _jpeg()[2:],
        "JPEG with a segment of length 0": _jpeg()[:2] + b"\xff\xe5\0\0" + _jpeg()[2:],
        "PNG without pixels": b"\x89PNG\r\n\x1a\n" + header + end,
        "PNG with two headers": _png(header), "PNG with a false checksum": bytes(wrong),
        "PNG without a header": b"\x89PNG\r\n\x1a\n" + _png()[33:], "PNG of 8 bytes": _png()[:8],
        "PNG chunk of 4 GB": _png()[:33] + b"\xff\xff\xff\xfftEXt" + _png()[33:],
        "palette PNG without a palette": png(3, 8, np.zeros((9, 9, 1), int)),
        "PNG of colour type 7": _typed(7, 8), "PNG of 3 bits": _typed(2, 3),
        "WebP of 12 bytes": b"RIFF\4\0\0\0WEBP", "WebP without pixels": riff((b"XMP ", SECRET)),
        "WebP that lies about its length": b"RIFF\xff\xff\xff\x7f" + _webp()[8:],
        "WebP frame of another size": riff((b"VP8X", canvas), (b"VP8L", _webp()[20:])),
        "WebP with a damaged frame": riff((b"VP8 ", bytes(30))),
        "WebP with a damaged lossless frame": riff((b"VP8L", b"\x2e" + bytes(30))),
    }  # fmt: skip
    for kind, body in bodies.items():
        yield Picture(kind, body, Code.CORRUPT_IMAGE)


def _without_tables(data: bytes) -> bytes:
    return data[: data.index(b"\xff\xdb")] + data[data.index(b"\xff\xc0") :]


def _typed(colour: int, depth: int) -> bytes:
    changed = bytearray(_png())
    changed[24:26] = depth, colour
    struct.pack_into(">I", changed, 29, zlib.crc32(changed[12:29]))
    return bytes(changed)
