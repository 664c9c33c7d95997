"""Cut or damaged files give an error, never an image with a grey rest."""

import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from consumer.errors import ImageError
from consumer.vision.image.decoder import decode
from tests.unit.vision.pictures import PIXELS, chunk, encoded, jpeg_segment, png, smooth, tiff


def detailed() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(smooth(60, 80) // 2 + smooth(60, 80, seed=1) // 2, np.uint8)


RGBA = np.dstack((detailed(), smooth(60, 80, 1)))
FILES = {
    "JPEG": encoded(detailed(), "JPEG", quality=95),
    "progressive JPEG": encoded(detailed(), "JPEG", quality=95, progressive=True),
    "grey JPEG": encoded(smooth(60, 80, 1), "JPEG", quality=95),
    "CMYK JPEG": encoded(Image.fromarray(detailed()).convert("CMYK"), "JPEG", quality=95),
    "PNG": encoded(detailed(), "PNG"),
    "PNG with alpha": encoded(RGBA, "PNG"),
    "palette PNG": encoded(Image.fromarray(detailed()).quantize(64), "PNG"),
    "WebP": encoded(detailed(), "WEBP", quality=95),
    "lossless WebP": encoded(detailed(), "WEBP", lossless=True),
    "WebP with alpha": encoded(RGBA, "WEBP", quality=95),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_corrupt(name: str) -> None:
    whole = FILES[name]
    complete = decode(whole, max_pixels=PIXELS)
    cuts = {*range(13, len(whole), max(1, len(whole) // 60)), *range(len(whole) - 30, len(whole))}
    for cut in sorted(cuts):
        # Only what follows the last pixel may be missing: the end marker.
        if len(whole) - cut > 2:
            with pytest.raises(ImageError, match="corrupt_image"):
                decode(whole[:cut], max_pixels=PIXELS)
        else:
            with suppress(ImageError):
                assert (decode(whole[:cut], max_pixels=PIXELS).rgb == complete.rgb).all()


def test_a_png_with_too_few_rows_is_corrupt() -> None:
    whole = png(2, 8, smooth(40, 60))
    taller = bytearray(whole)
    struct.pack_into(">I", taller, 20, 50)
    struct.pack_into(">I", taller, 29, zlib.crc32(taller[12:29]))
    with pytest.raises(ImageError, match="corrupt_image"):
        decode(bytes(taller), max_pixels=PIXELS)


def test_two_headers_with_different_sizes_are_corrupt() -> None:
    """Two frame headers: the size that was checked is not the size that would be decoded."""
    whole = FILES["JPEG"]
    frame = whole.index(b"\xff\xc0")
    small = bytearray(whole[frame + 4 : frame + 19])
    struct.pack_into(">HH", small, 1, 8, 8)
    with pytest.raises(ImageError, match="corrupt_image"):
        decode(jpeg_segment(whole, 0xC0, bytes(small)), max_pixels=PIXELS)


def test_pixels_of_another_size_than_checked_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumer.vision.image.decoder.cv2.imdecode", lambda *_: smooth(60, 81))
    with pytest.raises(ImageError, match="corrupt_image"):
        decode(FILES["PNG"], max_pixels=PIXELS)


def test_errors_of_the_decoder_become_image_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("decoder is broken")

    monkeypatch.setattr("consumer.vision.image.decoder.cv2.imdecode", fails)
    with pytest.raises(ImageError, match=r"^corrupt_image: the PNG cannot be decoded$"):
        decode(FILES["PNG"], max_pixels=PIXELS)


def test_an_error_text_of_a_library_is_not_reported() -> None:
    cut = FILES["CMYK JPEG"][:-200]
    with pytest.raises(ImageError, match=r"^corrupt_image: the JPEG cannot be decoded$"):
        decode(cut, max_pixels=PIXELS)


def test_lack_of_memory_is_no_image_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("consumer.vision.image.decoder.cv2.imdecode", fails)
    with pytest.raises(MemoryError):
        decode(FILES["PNG"], max_pixels=PIXELS)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40)
@given(data=st.data())
@pytest.mark.filterwarnings("error")
def test_flipped_bytes_raise_nothing_but_image_errors(name: str, data: st.DataObject) -> None:
    damaged = bytearray(FILES[name])
    places = st.lists(
        st.integers(0, len(damaged) - 1) | st.integers(0, 200), min_size=1, max_size=8
    )
    for place in data.draw(places):
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        image = decode(bytes(damaged), max_pixels=PIXELS)
    except ImageError:
        return
    assert image.rgb.ndim == 3


@given(st.binary(max_size=80), st.sampled_from(["exif", "icc", "png", "xmp"]))
def test_random_metadata_never_harms_the_pixels(body: bytes, kind: str) -> None:
    source = smooth(16, 16)
    data = {
        "exif": jpeg_segment(encoded(source, "JPEG"), 0xE1, b"Exif\0\0" + tiff(1)[:10] + body),
        "icc": jpeg_segment(encoded(source, "JPEG"), 0xE2, b"ICC_PROFILE\0\1\1" + body),
        "xmp": jpeg_segment(encoded(source, "JPEG"), 0xED, b"Photoshop 3.0\0" + body),
        "png": png(2, 8, source, chunk(b"eXIf", b"MM\0*" + body), chunk(b"iTXt", body)),
    }[kind]
    assert decode(data, max_pixels=PIXELS).rgb.shape == (16, 16, 3)
