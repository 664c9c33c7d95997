"""JPEGs without an end marker, cut ones, and cut ones with an end marker added."""

import io
import struct
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from consumer.errors import ImageError
from consumer.vision.image.decoder import decode
from tests.unit.vision.pictures import PIXELS, Pixels, encoded, smooth

END = b"\xff\xd9"


def grainy(height: int = 96, width: int = 120, seed: int = 0) -> Pixels:
    noise = np.random.default_rng(seed).integers(-25, 26, (height, width, 3))
    return np.clip(smooth(height, width, seed=seed) + noise, 0, 255).astype(np.uint8)


def plane_by_plane(pixels: Pixels) -> bytes:
    """Return a sequential JPEG with a scan for each component, as scanners and jpegtran write."""
    planes = [encoded(pixels[..., i : i + 1], "JPEG", quality=90) for i in range(3)]
    start = planes[0].index(b"\xff\xda")
    frame = planes[0].index(b"\xff\xc0")
    components = bytes(byte for i in (1, 2, 3) for byte in (i, 0x11, 0))
    wider = struct.pack(">BBH", 0xFF, 0xC0, 17) + planes[0][frame + 4 : frame + 9] + b"\x03"
    data = planes[0][:frame] + wider + components + planes[0][frame + 13 : start]
    for number, plane in enumerate(planes, 1):
        scan = plane.index(b"\xff\xda")
        data += b"\xff\xda\0\x08\x01" + bytes((number, 0)) + b"\0\x3f\0" + plane[scan + 10 : -2]
    return data + END


def kinds() -> Iterator[tuple[str, bytes]]:
    yield "baseline", encoded(grainy(), "JPEG", quality=90)
    yield "coarse", encoded(grainy(), "JPEG", quality=10)
    yield "without subsampling", encoded(grainy(), "JPEG", quality=90, subsampling=0)
    yield "optimized", encoded(smooth(96, 120), "JPEG", quality=90, optimize=True)
    yield "restart markers", encoded(grainy(), "JPEG", quality=90, restart_marker_blocks=4)
    yield "progressive", encoded(grainy(), "JPEG", quality=90, progressive=True)
    yield "grey", encoded(grainy()[..., :1], "JPEG", quality=90)
    yield "grey progressive", encoded(grainy()[..., :1], "JPEG", quality=90, progressive=True)
    yield "CMYK", encoded(Image.fromarray(grainy()).convert("CMYK"), "JPEG", quality=90)
    cmyk = Image.fromarray(grainy()).convert("CMYK")
    yield "CMYK progressive", encoded(cmyk, "JPEG", quality=90, progressive=True)
    yield "plane by plane", plane_by_plane(grainy())


KINDS = dict(kinds())


def pixels_of(data: bytes) -> Pixels:
    return decode(data, max_pixels=PIXELS).rgb


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_end_marker_is_the_same_image(kind: str, missing: int) -> None:
    whole = KINDS[kind]
    assert whole.endswith(END)
    assert np.array_equal(pixels_of(whole[:-missing]), pixels_of(whole))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("after", [b"junk" * 40, bytes(50), b"\xff" * 5, END * 3])
def test_what_follows_the_end_does_not_matter(kind: str, after: bytes) -> None:
    assert np.array_equal(pixels_of(KINDS[kind] + after), pixels_of(KINDS[kind]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("filler", [b"\xff" * 3, bytes(9), b"\0\xff\0\xff"])
def test_fillers_before_the_end_do_not_matter(kind: str, filler: bytes) -> None:
    """Some cameras pad their files to a multiple of some size."""
    whole = KINDS[kind]
    assert np.array_equal(pixels_of(whole[:-2] + filler + END), pixels_of(whole))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", [b"", END, b"\xff" + END, b"\xff", b"\xff\xfe\0\2" + END])
def test_a_cut_jpeg_is_corrupt_even_with_an_end_marker(kind: str, ending: bytes) -> None:
    whole = KINDS[kind]
    start, end = whole.index(b"\xff\xda") + 20, len(whole) - 40
    for cut in {*range(start, end, max(1, (end - start) // 30)), end}:
        about = whole[cut - 1 : cut + 40]
        if ending and (b"\xff\xc4" in about or b"\xff\xda" in about):
            continue  # here the end of a scan looks like the end of the file
        with pytest.raises(ImageError, match="corrupt_image"):
            pixels_of(whole[:cut] + ending)


@pytest.mark.parametrize("ending", [b"", END])
@pytest.mark.parametrize("scans", [1, 2])
def test_a_jpeg_that_lacks_a_component_is_corrupt(scans: int, ending: bytes) -> None:
    start = -1
    for _ in range(scans + 1):
        start = KINDS["plane by plane"].index(b"\xff\xda", start + 1)
    with pytest.raises(ImageError, match="corrupt_image"):
        pixels_of(KINDS["plane by plane"][:start] + ending)


@pytest.mark.parametrize("kind", ["progressive", "grey progressive", "CMYK progressive"])
def test_of_a_progressive_jpeg_without_an_end_all_scans_must_be_there(kind: str) -> None:
    whole = KINDS[kind]
    last = whole.rindex(b"\xff\xc4")  # the tables of its last scan
    assert pixels_of(whole[:last] + END).shape == pixels_of(whole).shape
    with pytest.raises(ImageError, match="corrupt_image"):
        pixels_of(whole[:last])


@given(st.integers(8, 90), st.integers(8, 90), st.integers(1, 95), st.integers(0, 9), st.booleans())
def test_no_whole_jpeg_is_refused(
    height: int, width: int, quality: int, seed: int, progressive: bool
) -> None:
    whole = encoded(grainy(height, width, seed), "JPEG", quality=quality, progressive=progressive)
    assert np.array_equal(pixels_of(whole), pixels_of(whole[:-2]))
    assert np.abs(pixels_of(whole).astype(int) - np.array(Image.open(io.BytesIO(whole)))).mean() < 2
