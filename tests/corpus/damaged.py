"""Images that are damaged, incomplete or of another format."""

import io
import struct
import zipfile
from collections.abc import Iterator

import numpy as np

from schemas.contract.errors import ImageErrorCode as Code
from tests.corpus.builders import (
    EXIF,
    PLAIN,
    jpeg_of,
    png_of,
    typed,
    webp_of,
    zeros,
)
from tests.corpus.cases import SECRET, ImageCase
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


def damaged_exif() -> Iterator[ImageCase]:
    """EXIF without a usable orientation: the image is not rotated."""
    bodies = {
        "empty": b"", "cut": tiff(6)[:20], "far offset": b"II*\0\xff\xff\xff\xff",
        "endless directory": b"MM\0*\0\0\0\x08\xff\xff", "orientation 0": tiff(0),
        "orientation 9": tiff(9), "orientation 65535": tiff(65535), "other order": b"XX*\0" * 9,
        "loop": b"II*\0\x08\0\0\0\0\0\x08\0\0\0", "noise": bytes(range(256)) * 4,
    }  # fmt: skip
    for kind, body in bodies.items():
        yield ImageCase(f"EXIF {kind}", jpeg_segment(jpeg_of(), 0xE1, EXIF + body), PLAIN)
    twice = jpeg_segment(jpeg_segment(jpeg_of(), 0xE1, EXIF + tiff(3)), 0xE1, EXIF + tiff(1))
    yield ImageCase("EXIF twice: the first holds", twice, PLAIN)
    side = encoded(stored_as(6), "JPEG", quality=95)
    other = jpeg_segment(side, 0xE1, b"Exif\0\xff" + tiff(6))
    yield ImageCase("EXIF with another mark", other, PLAIN)
    late = jpeg_segment(jpeg_segment(side, 0xE1, EXIF + tiff(6)), 0xE1, EXIF)
    yield ImageCase("EXIF after an empty segment of it", late, PLAIN)
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='6'/>"
    yield ImageCase("orientation in XMP alone", jpeg_segment(jpeg_of(), 0xE1, xmp), PLAIN)
    yield ImageCase("PNG with damaged eXIf", png_of(chunk(b"eXIf", b"MM\0*\xff")), PLAIN)


def foreign() -> Iterator[ImageCase]:
    """Formats other than JPEG, PNG and WebP."""
    for kind in ("GIF", "BMP", "TIFF", "ICO", "PPM"):
        yield ImageCase(kind, encoded(quarters(), kind), Code.UNSUPPORTED_FORMAT)
    bodies = {
        "0 bytes": b"", "1 byte": b"\xff", "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "text": b"not a picture", "zeros": bytes(5000), "WAVE": b"RIFF\0\0\0\0WAVEfmt " + bytes(50),
        "PNG with a Unix line end": b"\x89PNG\n\x1a\n" + png_of()[8:],
        "PNG with 7 bits": b"\x09" + png_of()[1:], "JPEG without its start": jpeg_of()[2:],
        "JPEG after a space": b" " + jpeg_of(), "HEIC": b"\0\0\0\x18ftypheic" + bytes(99),
        "AVIF": b"\0\0\0\x1cftypavif" + bytes(99), "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
        "RIFX": b"RIFX" + webp_of()[4:], "gzip": b"\x1f\x8b\x08" + bytes(99), "ELF": b"\x7fELF",
    }  # fmt: skip
    for kind, body in bodies.items():
        yield ImageCase(kind, body, Code.UNSUPPORTED_FORMAT)


def polyglots() -> Iterator[ImageCase]:
    """Files of two formats at once: only the pixels reach the result, or the file is refused."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("secret.txt", SECRET)
    script = b"<script>alert('" + SECRET + b"')</script>"
    extras = {"ZIP": packed.getvalue(), "HTML": script, "PNG": png_of(chunk(b"tEXt", SECRET))}
    for kind, tail in extras.items():
        yield ImageCase(f"JPEG and {kind}", jpeg_of() + tail, PLAIN)
        yield ImageCase(f"PNG and {kind}", png_of() + tail, PLAIN)
        yield ImageCase(f"WebP and {kind}", webp_of() + tail, PLAIN)
    yield ImageCase("JPEG with PHP", jpeg_segment(jpeg_of(), 0xFE, b"<?php " + SECRET), PLAIN)
    bomb = zeros(50)
    yield ImageCase("JPEG with a ZIP bomb behind it", jpeg_of() + packed.getvalue() + bomb, PLAIN)
    for kind, head in {"GIF": b"GIF89a", "PDF": b"%PDF-1.4\n", "ZIP": b"PK\3\4"}.items():
        yield ImageCase(f"{kind} and JPEG", head + jpeg_of(), Code.UNSUPPORTED_FORMAT)
    yield ImageCase("ZIP alone", packed.getvalue(), Code.UNSUPPORTED_FORMAT)
    yield ImageCase("JPEG mark before a PNG", b"\xff\xd8\xff" + png_of(), Code.CORRUPT_IMAGE)


def inconsistent() -> Iterator[ImageCase]:
    """Files that contradict themselves."""
    frame = jpeg_of().index(b"\xff\xc0")
    small = bytearray(jpeg_of()[frame + 4 : frame + 19])
    struct.pack_into(">HH", small, 1, 8, 8)
    two = jpeg_segment(jpeg_of(), 0xC0, bytes(small))
    for kind, patch in {"lossless": 0xC3, "hierarchical": 0xC5}.items():
        data = bytearray(jpeg_of())
        data[frame + 1] = patch
        yield ImageCase(f"JPEG that claims to be {kind}", bytes(data), Code.CORRUPT_IMAGE)
    header, end = png_of()[8:33], chunk(b"IEND", b"")
    wrong = bytearray(png_of())
    wrong[-14] ^= 0xFF
    canvas = b"\0\0\0\0" + (9).to_bytes(3, "little") * 2
    long_segment = struct.pack(">BBH", 0xFF, 0xE5, 65535)
    bodies = {
        "JPEG with two frames": two,
        "JPEG without pixels": b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(11) + b"\xff\xd9",
        "JPEG of 3 bytes": b"\xff\xd8\xff", "JPEG without tables": _without_tables(jpeg_of()),
        "JPEG with an endless segment": jpeg_of()[:2] + long_segment + jpeg_of()[2:],
        "JPEG with a segment of length 0": jpeg_of()[:2] + b"\xff\xe5\0\0" + jpeg_of()[2:],
        "PNG without pixels": b"\x89PNG\r\n\x1a\n" + header + end,
        "PNG with two headers": png_of(header), "PNG with a false checksum": bytes(wrong),
        "PNG without a header": b"\x89PNG\r\n\x1a\n" + png_of()[33:],
        "PNG of 8 bytes": png_of()[:8],
        "PNG chunk of 4 GB": png_of()[:33] + b"\xff\xff\xff\xfftEXt" + png_of()[33:],
        "palette PNG without a palette": png(3, 8, np.zeros((9, 9, 1), int)),
        "PNG of colour type 7": typed(7, 8), "PNG of 3 bits": typed(2, 3),
        "WebP of 12 bytes": b"RIFF\4\0\0\0WEBP", "WebP without pixels": riff((b"XMP ", SECRET)),
        "WebP that lies about its length": b"RIFF\xff\xff\xff\x7f" + webp_of()[8:],
        "WebP frame of another size": riff((b"VP8X", canvas), (b"VP8L", webp_of()[20:])),
        "WebP with a damaged frame": riff((b"VP8 ", bytes(30))),
        "WebP with a damaged lossless frame": riff((b"VP8L", b"\x2e" + bytes(30))),
    }  # fmt: skip
    for kind, body in bodies.items():
        yield ImageCase(kind, body, Code.CORRUPT_IMAGE)


def ends() -> Iterator[ImageCase]:
    """JPEGs whose end marker is missing or in a wrong place."""
    for kind, data in {"": jpeg_of(), "progressive ": jpeg_of(progressive=True)}.items():
        assert data.endswith(b"\xff\xd9")
        yield ImageCase(f"{kind}JPEG without its end", data[:-2], PLAIN)
        for share in (0.6, 0.8, 0.95):
            start = data.index(b"\xff\xda")
            cut = data[: start + int(share * (len(data) - start))] + b"\xff\xd9"
            name = f"{kind}JPEG cut at {share:.0%} and closed again"
            yield ImageCase(name, cut, Code.CORRUPT_IMAGE)


def _without_tables(data: bytes) -> bytes:
    return data[: data.index(b"\xff\xdb")] + data[data.index(b"\xff\xc0") :]
