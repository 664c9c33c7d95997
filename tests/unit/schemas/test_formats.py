"""Which first bytes are taken for an image, and what others are called."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from schemas.contract.formats import accepted_format, binary_format, text_format

OTHERS = ["GIF", "BMP", "TIFF", "ICO", "JPEG2000", "AVIF"]


def drawn(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 32)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_real_images(kind: str) -> None:
    assert accepted_format(drawn(kind)) == kind
    assert accepted_format(drawn(kind)[:12]) == kind
    assert binary_format(drawn(kind)) is None


@pytest.mark.parametrize("kind", [*OTHERS, "PPM"])
def test_other_images(kind: str) -> None:
    assert accepted_format(drawn(kind)) is None


@pytest.mark.parametrize("kind", OTHERS)
def test_other_images_have_a_name(kind: str) -> None:
    assert binary_format(drawn(kind)) == kind.replace("JPEG2000", "JPEG 2000")


def media(*brands: bytes) -> bytes:
    """The first box of an ISO base media file, and the begin of the next."""
    box = b"ftyp" + brands[0] + bytes(4) + b"".join(brands[1:])
    return (len(box) + 4).to_bytes(4, "big") + box + b"\0\0\1\0metaavif"


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (media(b"heic", b"mif1", b"heic"), "HEIC"),
        (media(b"heix"), "HEIC"),
        (media(b"mif1", b"mif1", b"heic", b"hevc"), "HEIC"),
        (media(b"mif1", b"mif1", b"avif", b"miaf"), "AVIF"),
        (media(b"avif", b"mif1"), "AVIF"),
        (media(b"mif1", b"mif1", b"miaf"), "HEIF"),
        (media(b"crx ", b"crx ", b"isom"), "a camera's raw format"),
        (media(b"isom", b"mp42"), "a video"),
        (media(b"qt  "), "a video"),
        (b"\xff\xff\xff\xffftypheic", "HEIC"),
        (b"\0\0\0\0ftyp", "a video"),
        (b"%PDF-1.7\n", "PDF"),
        (b"PK\x03\x04\x14", "a ZIP archive"),
        (b"RIFF\0\0\0\0WAVEfmt ", "a sound"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"RIFF\0\0\0\0ABCD", None),
        (b"BMW is not a bitmap", None),
        (b"hello", None),
        (b"", None),
    ],
)
def test_binary_formats(head: bytes, name: str | None) -> None:
    assert binary_format(head) == name
    assert accepted_format(head) is None


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf\n<?xml version='1.0'?>\n<!-- a -->\n<SVG>", "SVG"),
        (b"<!DOCTYPE svg PUBLIC '-//W3C'>\n<svg>", "SVG"),
        (b"<?xml version='1.0'?><note/>", None),
        (b" <!doctype html><svg>", "HTML"),
        (b"<html lang=en>", "HTML"),
        (b"data:image/jpeg;base64,/9j/", "an image as base64 text"),
        (b"/9j/4AAQSkZJRgABAQ", "an image as base64 text"),
        (b"iVBORw0KGgoAAAANSUhEUg", "an image as base64 text"),
        (b"hello <svg>", None),
        (b"", None),
    ],
)
def test_text_formats(head: bytes, name: str | None) -> None:
    assert text_format(head) == name
    assert binary_format(head) is None


@given(st.binary(max_size=40))
def test_anything_else(head: bytes) -> None:
    starts = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF")
    if not head.startswith(starts):
        assert accepted_format(head) is None
    assert accepted_format(b"RIFF" + head[:3] + b"\x00WAVE") is None
    for tried in (head, b"\0\0\0" + head[:1] + b"ftyp" + head[1:]):
        binary_format(tried)  # whatever it is, it raises nothing
        text_format(tried)
