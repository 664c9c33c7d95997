"""What is refused, and with which code, before a pixel is decoded."""

import io
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from consumer.errors import ImageError
from consumer.vision.image.decoder import MAX_SIDE, decode, read_header
from consumer.vision.image.scan import orientation
from schemas.contract.errors import ImageErrorCode as Code
from tests.unit.vision.pictures import (
    PIXELS,
    chunk,
    encoded,
    jpeg_segment,
    png,
    riff,
    smooth,
    tiff,
)

FORMATS = ("JPEG", "PNG", "WEBP")


def refusal(data: bytes, max_pixels: int = PIXELS) -> Code:
    """Return the code with which both header and decoder refuse ``data``."""
    with pytest.raises(ImageError) as header:
        read_header(data, max_pixels=max_pixels)
    with pytest.raises(ImageError) as decoder:
        decode(data, max_pixels=max_pixels)
    assert header.value.code == decoder.value.code
    return header.value.code


@pytest.mark.parametrize("format_", FORMATS)
def test_reads_format_and_size(format_: str) -> None:
    header = read_header(encoded(smooth(30, 50), format_), max_pixels=PIXELS)
    assert (header.format, header.width, header.height) == (format_, 50, 30)


@pytest.mark.parametrize("options", [{"lossless": True}, {"exif": tiff(1)}, {"quality": 5}])
def test_reads_every_kind_of_webp(options: dict[str, object]) -> None:
    header = read_header(encoded(smooth(31, 57), "WEBP", **options), max_pixels=PIXELS)
    assert (header.width, header.height) == (57, 31)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", FORMATS)
def test_size_is_upright(format_: str, orientation: int) -> None:
    data = encoded(smooth(30, 50), format_, exif=b"Exif\0\0" + tiff(orientation))
    header = read_header(data, max_pixels=PIXELS)
    assert (header.width, header.height) == ((30, 50) if orientation > 4 else (50, 30))


@pytest.mark.parametrize("data", [b"", b"\xff", b"GIF89a", b"RIFF1234WAVE", b"<svg/>", b"\0" * 99])
def test_other_content_is_unsupported(data: bytes) -> None:
    assert refusal(data) == Code.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("format_", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_unsupported(format_: str) -> None:
    assert refusal(encoded(smooth(), format_)) == Code.UNSUPPORTED_FORMAT


def test_content_counts_not_a_name() -> None:
    assert refusal(b"\x89PNG\r\n\x1a\r" + b"\0" * 50) == Code.UNSUPPORTED_FORMAT


@pytest.mark.parametrize("format_", FORMATS)
def test_too_many_pixels(format_: str) -> None:
    data = encoded(smooth(30, 50), format_)
    assert refusal(data, max_pixels=1499) == Code.TOO_MANY_PIXELS
    assert read_header(data, max_pixels=1500).width == 50


def bombs() -> dict[str, bytes]:
    jpeg = bytearray(encoded(smooth(16, 16), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    struct.pack_into(">HH", jpeg, frame + 5, 60000, 60000)
    small = bytearray(png(2, 8, smooth(16, 16)))
    struct.pack_into(">II", small, 16, 100_000, 100_000)
    canvas = b"\x10\0\0\0" + (16382).to_bytes(3, "little") * 2
    return {
        "JPEG": bytes(jpeg),
        "PNG": bytes(small),
        "WEBP": riff((b"VP8X", canvas), (b"VP8 ", b"\0\0\0\x9d\x01\x2a\xff\x3f\xff\x3f")),
    }


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.filterwarnings("error")
def test_bombs_are_refused_by_their_header(format_: str) -> None:
    tracemalloc.start()
    try:
        assert refusal(bombs()[format_]) == Code.TOO_MANY_PIXELS
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_pillows_own_limit_does_not_apply(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    cmyk = Image.fromarray(smooth()).convert("CMYK")
    for data in (encoded(cmyk, "JPEG"), *(encoded(smooth(), format_) for format_ in FORMATS)):
        assert decode(data, max_pixels=PIXELS).rgb.shape == (48, 64, 3)


@pytest.mark.parametrize(("height", "width"), [(1, MAX_SIDE + 1), (MAX_SIDE + 1, 1)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_side_too_long(height: int, width: int, orientation: int) -> None:
    data = png(0, 8, np.zeros((height, width, 1), int), chunk(b"eXIf", tiff(orientation)))
    assert refusal(data) == Code.SIDE_TOO_LONG


def test_longest_side_passes() -> None:
    data = png(0, 8, np.zeros((1, MAX_SIDE, 1), int))
    assert read_header(data, max_pixels=PIXELS).width == MAX_SIDE
    assert decode(data, max_pixels=PIXELS).rgb.shape == (1, MAX_SIDE, 3)


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_animated(format_: str) -> None:
    frames = [Image.fromarray(smooth(seed=seed)) for seed in range(3)]
    data = encoded(frames[0], format_, save_all=True, append_images=frames[1:], duration=50)
    assert refusal(data) == Code.ANIMATED_IMAGE


def test_animation_after_the_pixels_is_seen() -> None:
    data = png(2, 8, smooth())
    control = chunk(b"fcTL", bytes(26)) + chunk(b"fdAT", bytes(9))
    assert refusal(data[:-12] + control + data[-12:]) == Code.ANIMATED_IMAGE


def test_webp_that_only_claims_to_be_animated_is_refused() -> None:
    still = bytearray(encoded(smooth(), "WEBP", exif=tiff(1)))
    assert still[12:16] == b"VP8X"
    still[20] |= 0x02
    assert refusal(bytes(still)) == Code.ANIMATED_IMAGE


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
@pytest.mark.parametrize("missing", [1, 12, 40])
def test_a_cut_file_needs_no_decoding_to_be_refused(format_: str, missing: int) -> None:
    data = encoded(smooth(), format_)[:-missing]
    with pytest.raises(ImageError, match="corrupt_image"):
        read_header(data, max_pixels=PIXELS)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_unknown_orientations_count_as_none(value: int) -> None:
    assert orientation(tiff(value)) == 1
    assert orientation(tiff(6)) == 6


def test_webp_animation_without_its_flag_is_seen() -> None:
    canvas = b"\0\0\0\0" + (9).to_bytes(3, "little") * 2
    assert refusal(riff((b"VP8X", canvas), (b"ANMF", bytes(40)))) == Code.ANIMATED_IMAGE


@pytest.mark.parametrize("previews", [1, 3])
def test_mpo_counts_as_its_first_image(previews: int) -> None:
    images = [Image.fromarray(smooth(seed=seed)) for seed in range(previews + 1)]
    data = encoded(images[0], "MPO", save_all=True, append_images=images[1:])
    assert Image.open(io.BytesIO(data)).format == "MPO"
    header = read_header(data, max_pixels=PIXELS)
    assert (header.format, header.width, header.height) == ("JPEG", 64, 48)
    difference = decode(data, max_pixels=PIXELS).rgb.astype(int) - smooth(seed=0)
    assert np.abs(difference).mean() < 4


@pytest.mark.parametrize("format_", FORMATS)
def test_no_image_inside_is_corrupt(format_: str) -> None:
    data = {
        "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(11) + b"\xff\xd9",
        "PNG": b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b""),
        "WEBP": riff((b"XMP ", b"hello")),
    }[format_]
    assert refusal(data) == Code.CORRUPT_IMAGE


@pytest.mark.parametrize("side", ["width", "height"])
def test_size_zero_is_corrupt(side: str) -> None:
    data = bytearray(png(2, 8, smooth()))
    struct.pack_into(">I", data, 16 if side == "width" else 20, 0)
    assert refusal(bytes(data)) == Code.CORRUPT_IMAGE


def test_memory_estimate_grows_with_what_costs() -> None:
    plain = smooth(100, 200)
    with_alpha = np.dstack((plain, plain[..., 0]))
    profile = jpeg_segment(encoded(plain, "JPEG"), 0xE2, b"ICC_PROFILE\0\1\1" + bytes(200))

    def estimate(data: bytes, method: int = 2) -> int:
        header = read_header(data, max_pixels=PIXELS, method=method)
        return header.decoded_bytes - len(data)

    small = estimate(encoded(smooth(50, 200), "JPEG"))
    base = estimate(encoded(plain, "JPEG"))
    assert base - small == 50 * 200 * 16
    lossless = encoded(with_alpha, "WEBP", lossless=True)
    assert lossless[12:16] == b"VP8L"
    assert estimate(lossless) == estimate(encoded(with_alpha, "PNG"))
    costs = [base, estimate(profile), estimate(encoded(with_alpha, "PNG"))]
    assert costs == sorted(set(costs))
    assert estimate(encoded(plain, "JPEG"), method=4) == base + 100 * 200 * 20


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]))
def test_random_bytes_raise_nothing_else(data: bytes, start: bytes) -> None:
    with pytest.raises(ImageError):
        decode(start + data, max_pixels=PIXELS)


@given(st.binary(max_size=99), st.sampled_from([b"VP8 ", b"VP8L", b"VP8X", b"EXIF", b"ANIM"]))
def test_random_webp_chunks_raise_nothing_else(body: bytes, kind: bytes) -> None:
    with pytest.raises(ImageError):
        decode(riff((kind, body)), max_pixels=PIXELS)
