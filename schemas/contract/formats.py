"""File formats by their first bytes: the accepted ones, and the names of other known ones."""

import re
from typing import Literal, get_args

ImageFormat = Literal["JPEG", "PNG", "WEBP"]
ACCEPTED = "JPEG, PNG and WebP"
HEAD_BYTES = 512
"""Number of first bytes of a file that these functions read at most."""

# The pattern of the first bytes of each format. The first match counts.
_ACCEPTED: dict[ImageFormat, bytes] = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF.{4}WEBP",
}
_BINARY = {
    "GIF": rb"GIF8[79]a",
    "TIFF": rb"II[*+]\0|MM\0[*+]",  # and the raw formats of many cameras
    "BMP": rb"BM.{4}\0{4}",
    "ICO": rb"\0\0\x01\0",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG 2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "a Photoshop file": rb"8BPS",
    "a camera's raw format": rb"FUJIFILMCCD-RAW|IIU\0|IIRO",
    "PDF": rb"%PDF-",
    "a ZIP archive": rb"PK\x03\x04",
    "gzip": rb"\x1f\x8b",
    "a RAR archive": rb"Rar!\x1a\x07",
    "a 7z archive": rb"7z\xbc\xaf\x27\x1c",
    "a video": rb"\x1a\x45\xdf\xa3|RIFF.{4}AVI ",
    "a sound": rb"RIFF.{4}WAVE",
}
_BOM_AND_SPACE = rb"(?:\xef\xbb\xbf)?\s*"
_TEXT = {
    "SVG": _BOM_AND_SPACE + rb"(?i:(?=<\?xml|<!--|<!doctype\s+svg\b|<svg\b).*<svg)",
    "HTML": _BOM_AND_SPACE + rb"(?i:<!doctype\s+html\b|<html\b)",
    "an image as base64 text": _BOM_AND_SPACE + rb"(?:data:image/|/9j/|iVBORw0KGgo|UklGR)",
}
# ISO base media files (ISO/IEC 14496-12) begin with a box `ftyp`, which lists their brands.
_BRANDS = {
    "AVIF": {b"avif", b"avis"},
    "HEIC": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"},
    "a camera's raw format": {b"crx "},
}
_HEIF_BRANDS = {b"mif1", b"msf1", b"heif"}  # any HEIF file may list these beside its own brand


def accepted_format(head: bytes) -> ImageFormat | None:
    """Return the accepted format that a file with these first bytes has; None for any other."""
    return next((name for name in get_args(ImageFormat) if _begins(head, _ACCEPTED[name])), None)


def binary_format(head: bytes) -> str | None:
    """Return the name of a binary format that is not accepted; None if it is unknown."""
    if head[4:8] == b"ftyp":
        return _media_format(head)
    return next((name for name, pattern in _BINARY.items() if _begins(head, pattern)), None)


def text_format(head: bytes) -> str | None:
    """Return the name of a format that is text; None if it is unknown."""
    return next((name for name, pattern in _TEXT.items() if _begins(head, pattern)), None)


def _begins(head: bytes, pattern: bytes) -> bool:
    return re.match(pattern, head[:HEAD_BYTES], re.DOTALL) is not None


def _media_format(head: bytes) -> str:
    box = head[: min(int.from_bytes(head[:4], "big"), HEAD_BYTES)]
    brands = [head[8:12], *(box[place : place + 4] for place in range(16, len(box), 4))]
    for brand in brands:  # the major brand is the first
        for name, known in _BRANDS.items():
            if brand in known:
                return name
    return "HEIF" if _HEIF_BRANDS.intersection(brands) else "a video"
