"""Formats of files, recognised by their first bytes: the accepted ones, and names of others."""

import re

ACCEPTED = "JPEG, PNG and WebP"
HEAD_BYTES = 512
"""As many first bytes of a file as these functions look at."""

_SIGNATURES = (
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),  # the raw formats of many cameras are TIFF, too
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "ICO"),
    (b"FUJIFILMCCD-RAW", "a camera's raw format"),
    (b"IIU\0", "a camera's raw format"),
    (b"IIRO", "a camera's raw format"),
    (b"%PDF-", "PDF"),
    (b"PK\3\4", "a ZIP archive"),
    (b"\x1f\x8b", "gzip"),
    (b"Rar!\x1a\7", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1a\x45\xdf\xa3", "a video"),
)
# ISO base media files (ISO/IEC 14496-12) begin with a box `ftyp`, which lists their brands.
_BRANDS = (
    ({b"avif", b"avis"}, "AVIF"),
    ({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}, "HEIC"),
    ({b"mif1", b"msf1", b"heif"}, "HEIF"),
    ({b"crx "}, "a camera's raw format"),
)
_SVG = re.compile(rb"(?is)(?:<\?xml|<!--|<!doctype\s+svg\b|<svg\b).*")
_HTML = re.compile(rb"(?i)<!doctype\s+html\b|<html\b")
_BASE64 = re.compile(rb"data:image/|/9j/|iVBORw0KGgo|UklGR")


def is_image(head: bytes) -> bool:
    """Tell whether the first bytes are those of a JPEG, PNG or WebP file."""
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        or head[:4] + head[8:12] == b"RIFFWEBP"
    )


def binary_format(head: bytes) -> str | None:
    """Return the name of a binary format that is not accepted; None if it is unknown."""
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "BMP"
    if head[:4] == b"RIFF":
        return {b"AVI ": "a video", b"WAVE": "a sound"}.get(head[8:12])
    return _media_format(head) if head[4:8] == b"ftyp" else None


def text_format(head: bytes) -> str | None:
    """Return the name of a format that is text; None if it is unknown."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if _SVG.match(text) and b"<svg" in text.lower():
        return "SVG"
    if _HTML.match(text):
        return "HTML"
    return "an image as base64 text" if _BASE64.match(text) else None


def _media_format(head: bytes) -> str:
    box = head[: min(int.from_bytes(head[:4], "big"), HEAD_BYTES)]
    brands = [head[8:12], *(box[place : place + 4] for place in range(16, len(box), 4))]
    for brand in brands:  # the major brand is the first
        for known, name in _BRANDS[:2]:
            if brand in known:
                return name
    return next((name for known, name in _BRANDS if known.intersection(brands)), "a video")
