"""Read the structure of a JPEG, PNG or WebP file without decoding any pixel.

Not with Pillow: its parsers warn about damaged EXIF, ultralytics replaces its ``Image.open`` at
import, and its WebP reader allocates the whole canvas to learn its size.
"""

import struct
import zlib
from collections.abc import Callable

from consumer.errors import ImageError
from consumer.vision.image import png_colour
from consumer.vision.image.jpeg import EXIF_MARK, scan_jpeg
from consumer.vision.image.structure import MAX_SEGMENTS, Container, corrupt
from schemas.contract.errors import ImageErrorCode
from schemas.contract.formats import accepted_format

_EXIF_NUMBERS = {3: "H", 4: "I"}  # by the TIFF type of an entry: short and long
_PNG_PIXELS = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_PNG_CHECKED = {b"eXIf", b"tRNS", *png_colour.CHUNKS}  # ignored if damaged, as decoders do
_MAX_PROFILE_BYTES = 8 << 20
_WEBP_FIRST = {b"VP8X", b"VP8 ", b"VP8L"}
_VP8X_ANIMATION = 0x02
_VP8X_ALPHA = 0x10


def scan(data: bytes) -> Container:
    """Read the structure of ``data``. Raises ImageError: unsupported_format or corrupt_image."""
    try:
        container = _scanner(data)(data)
    except (struct.error, IndexError, zlib.error) as error:
        raise corrupt("the file ends within its header") from error
    if container.width < 1 or container.height < 1:
        raise corrupt("the file has no image in it")
    return container


def orientation(exif: bytes | None) -> int:
    """Return the EXIF orientation, 1 to 8, of a TIFF block; 1 if there is none or it is damaged.

    The first entry counts whose value is from 1 to 8, a short number as in EXIF, or a long one.
    """
    tiff = EXIF_MARK.sub(b"", exif or b"", count=1)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    try:
        (start,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, values, *_ = struct.unpack_from(order + "HHII", tiff, entry)
            if (tag, values) == (0x0112, 1) and kind in _EXIF_NUMBERS:
                (value,) = struct.unpack_from(order + _EXIF_NUMBERS[kind], tiff, entry + 8)
                if 1 <= value <= 8:
                    return int(value)
    except struct.error:
        pass
    return 1


def _scanner(data: bytes) -> Callable[[bytes], Container]:
    match accepted_format(data):
        case "JPEG":
            return scan_jpeg
        case "PNG":
            return _scan_png
        case "WEBP":
            return _scan_webp
        case None:
            detail = "the content is not JPEG, PNG or WebP"
            raise ImageError(ImageErrorCode.UNSUPPORTED_FORMAT, detail)


def _scan_png(data: bytes) -> Container:
    container = Container("PNG")
    container.keep(0, 8)
    position, kind, count = 8, b"", 0
    while position < len(data) and kind != b"IEND":
        count = _counted(count)
        length, kind = struct.unpack_from(">I4s", data, position)
        body, end = position + 8, position + 12 + length
        if end > len(data):
            raise corrupt("a PNG chunk is cut off")
        if kind in _PNG_PIXELS:
            container.keep(position, end)
        if kind != b"IDAT" and not (kind in _PNG_CHECKED and _is_damaged(data[position:end])):
            _note_png_chunk(container, kind, data[body : body + length])
        container.colour_ends |= kind == b"IDAT"
        position = end
    if kind != b"IEND":
        raise corrupt("the PNG has no end")
    container.icc = _png_profile(container)
    return container


def _is_damaged(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:])


def _note_png_chunk(container: Container, kind: bytes, body: bytes) -> None:
    match kind:
        case b"IHDR":
            width, height, depth, colour = struct.unpack_from(">IIBB", body)
            container.frame(width, height)
            container.bit_depth = depth
            container.channels = {0: 1, 3: 3, 4: 2, 6: 4}.get(colour, 3)
            container.alpha = colour in {4, 6}
        case b"tRNS":
            if container.channels == 1:
                (container.transparent_grey,) = struct.unpack_from(">H", body)
            container.alpha = True
        case b"acTL" | b"fcTL" | b"fdAT":
            container.animated = True
        case b"eXIf":
            container.exif = body if container.exif is None else container.exif
        case b"PLTE":
            container.colour.setdefault(b"cICP", b"")  # it is valid only before the palette
        case _ if kind in png_colour.CHUNKS and not container.colour_ends:
            container.colour.setdefault(kind, body)
        case _:
            pass


def _png_profile(container: Container) -> bytes:
    packed = container.colour.get(b"iCCP", b"")
    icc = _inflate(packed[packed.index(b"\0") + 2 :]) if b"\0" in packed else b""
    return png_colour.profile(container.colour, icc)


def _inflate(packed: bytes) -> bytes:
    """Return the profile; a damaged one is empty, and a longer one is cut at the limit."""
    try:
        return zlib.decompressobj().decompress(packed, _MAX_PROFILE_BYTES)
    except zlib.error:
        return b""


def _counted(chunks: int) -> int:
    if chunks == MAX_SEGMENTS:
        raise corrupt("the file has too many chunks")
    return chunks + 1


def _scan_webp(data: bytes) -> Container:
    container = Container("WEBP")
    (riff_length,) = struct.unpack_from("<I", data, 4)
    if riff_length + 8 > len(data):
        raise corrupt("the WebP is cut off")
    container.keep(0, riff_length + 8)
    position, count = 12, 0
    while position + 8 <= riff_length + 8:
        count = _counted(count)
        kind, length = struct.unpack_from("<4sI", data, position)
        # libwebp ignores a later canvas, and reads any other first chunk as pixels.
        if kind not in _WEBP_FIRST if count == 1 else kind == b"VP8X":
            raise corrupt("the WebP's chunks are out of order")
        size = length if kind in {b"EXIF", b"ICCP"} else min(length, 16)
        _note_webp_chunk(container, kind, data[position + 8 : position + 8 + size])
        position += 8 + length + (length & 1)
    return container


def _note_webp_chunk(container: Container, kind: bytes, body: bytes) -> None:
    match kind:
        case b"VP8X":
            container.animated |= bool(body[0] & _VP8X_ANIMATION)
            container.alpha |= bool(body[0] & _VP8X_ALPHA)
            container.width = int.from_bytes(body[4:7], "little") + 1
            container.height = int.from_bytes(body[7:10], "little") + 1
        case b"VP8L":
            if body[:1] != b"\x2f":
                raise corrupt("the WebP frame is damaged")
            (bits,) = struct.unpack_from("<I", body, 1)
            container.frame((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
            container.alpha |= bool(bits >> 28 & 1)
        case b"ALPH":  # decoded even if the canvas does not announce it
            container.alpha = True
        case b"VP8 ":
            if body[3:6] != b"\x9d\x01\x2a":
                raise corrupt("the WebP frame is damaged")
            width, height = struct.unpack_from("<HH", body, 6)
            container.frame(width & 0x3FFF, height & 0x3FFF)
        case b"ANIM" | b"ANMF":
            container.animated = True
        case b"EXIF":
            container.exif = body if container.exif is None else container.exif
        case b"ICCP":
            container.icc = body
        case _:
            pass
