"""Well-formed parts in any number and order, and images with the longest sides."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.errors import ImageError
from consumer.vision.image.decoder import MAX_SIDE, DecodedImage, decode, read_header
from consumer.vision.image.encoder import encode_webp
from consumer.vision.image.scan import scan
from tests.unit.vision.checks import decoded
from tests.unit.vision.pictures import chunk, encoded, jpeg_segment, png, quarters, riff, tiff
from tests.unit.vision.profiles import swapped_profile

MAX_PIXELS = 100_000
ICC = swapped_profile()


def jpeg_parts() -> tuple[bytes, list[bytes], bytes]:
    whole = encoded(quarters(), "JPEG", exif=b"Exif\0\0" + tiff(6), icc_profile=ICC)
    parts, position = [], 2
    while whole[position + 1] != 0xDA:
        end = position + 2 + struct.unpack_from(">H", whole, position + 2)[0]
        parts.append(whole[position:end])
        position = end
    return b"\xff\xd8", [*parts, whole[position:-2], b"\xff\xd9"], b""


def png_parts() -> tuple[bytes, list[bytes], bytes]:
    whole = encoded(quarters(), "PNG", exif=tiff(6), icc_profile=ICC)
    extra = [chunk(b"tRNS", bytes(6)), chunk(b"PLTE", bytes(9)), chunk(b"IDAT", b"")]
    parts, position = [], 8
    while position < len(whole):
        end = position + 12 + struct.unpack_from(">I", whole, position)[0]
        parts.append(whole[position:end])
        position = end
    return whole[:8], [*parts[:-1], *extra], parts[-1]


def webp_parts() -> tuple[bytes, list[bytes], bytes]:
    alpha = np.dstack((quarters(), np.full((40, 60), 99, np.uint8)))
    parts = []
    for data in (
        encoded(alpha, "WEBP", exif=tiff(6), icc_profile=ICC),
        encoded(quarters(), "WEBP", lossless=True),
    ):
        position = 12
        while position < len(data):
            length = struct.unpack_from("<I", data, position + 4)[0]
            end = position + 8 + length + (length & 1)
            parts.append(data[position:end])
            position = end
    return b"", parts, b""


PARTS = {"JPEG": jpeg_parts(), "PNG": png_parts(), "WebP": webp_parts()}


@pytest.mark.parametrize("kind", PARTS)
@given(data=st.data())
def test_parts_in_any_number_and_order(kind: str, data: st.DataObject) -> None:
    start, parts, end = PARTS[kind]
    chosen = data.draw(st.lists(st.sampled_from(parts), max_size=14))
    if kind == "PNG" and data.draw(st.booleans()):
        chosen = [parts[0], *chosen]
    body = start + b"".join(chosen) + end
    whole = riff() + body if kind == "WebP" else body
    if kind == "WebP":
        whole = b"RIFF" + struct.pack("<I", len(whole) - 8) + whole[8:]
    tracemalloc.start()
    try:
        header = read_header(whole, max_pixels=MAX_PIXELS)
        image = decode(whole, max_pixels=MAX_PIXELS)
    except ImageError:
        return
    finally:
        # Memory of Python and NumPy; that of the decoders is not traced.
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20
    assert image.rgb.shape == (header.height, header.width, 3)
    assert peak <= header.decoded_bytes


@pytest.mark.parametrize("shape", [(1, MAX_SIDE), (MAX_SIDE, 1), (2, MAX_SIDE)])
@pytest.mark.parametrize("transparent", [False, True])
def test_the_longest_side_is_encoded(shape: tuple[int, int], transparent: bool) -> None:
    rgb = np.full((*shape, 3), 150, np.uint8)
    alpha = np.full(shape, 77, np.uint8) if transparent else None
    again = decoded(encode_webp(DecodedImage(rgb, alpha)))
    assert again.rgb.shape == rgb.shape
    assert np.abs(again.rgb.astype(int) - rgb).max() < 4
    assert (again.alpha is not None) == transparent
    assert again.alpha is None or (again.alpha == 77).all()


@pytest.mark.parametrize(("more", "fits"), [(0, True), (80, True), (100, False)])
def test_a_jpeg_has_a_hundred_scans_at_most(more: int, fits: bool) -> None:
    whole = encoded(quarters(), "JPEG", progressive=True)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    data = whole[:-2] + scan * more + b"\xff\xd9"
    # Scans after the end of the image do not count.
    for file in (data, data + scan * 200):
        if fits:
            assert read_header(file, max_pixels=MAX_PIXELS).width == 60
        else:
            with pytest.raises(ImageError, match="too many scans"):
                read_header(file, max_pixels=MAX_PIXELS)


def test_only_the_first_profile_of_a_png_is_used() -> None:
    profiles = [chunk(b"iCCP", b"p\0\0" + zlib.compress(icc)) for icc in (ICC, bytes(1 << 24))]
    tracemalloc.start()
    container = scan(png(2, 8, quarters(), *profiles, *profiles))
    assert container.icc == ICC
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_fill_bytes_and_bare_markers_before_a_segment_are_ignored() -> None:
    data = encoded(quarters(), "JPEG")
    behind_first = 4 + struct.unpack_from(">H", data, 4)[0]
    for filler in (b"\xff" * 9, b"\xff\xd0" * 9, b"\xff\x01", b"\xff\x00", b"junk"):
        padded = data[:behind_first] + filler + data[behind_first:]
        assert read_header(padded, max_pixels=MAX_PIXELS).width == 60
    comment = jpeg_segment(data, 0xFE, b"\xff\xda\xff\xd9" * 200)
    assert read_header(comment, max_pixels=MAX_PIXELS).width == 60
