"""Decoded pixels: upright, sRGB, 8 bits, without metadata."""

import struct

import numpy as np
import pytest
from PIL import Image

from consumer.vision.image.decoder import decode
from consumer.vision.image.encoder import encode_webp
from tests.unit.vision.checks import decoded, off
from tests.unit.vision.pictures import (
    PIXELS,
    chunk,
    encoded,
    jpeg_segment,
    png,
    quarters,
    riff,
    smooth,
    stored_as,
    tiff,
)
from tests.unit.vision.profiles import swapped_profile


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
def test_jpeg(options: dict[str, object]) -> None:
    image = decoded(encoded(smooth(), "JPEG", quality=95, **options))
    assert off(image, smooth()) < 3
    assert image.alpha is None


@pytest.mark.parametrize(("format_", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats(format_: str, options: dict[str, object]) -> None:
    assert off(decoded(encoded(smooth(), format_, **options)), smooth()) == 0


def test_lossy_webp() -> None:
    assert off(decoded(encoded(smooth(), "WEBP", quality=95)), smooth()) < 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation(orientation: int, format_: str, order: str) -> None:
    exif = b"Exif\0\0" + tiff(orientation, order=order)
    image = decoded(encoded(stored_as(orientation), format_, exif=exif))
    assert off(image, quarters()) < 12


def test_orientation_turns_alpha_too() -> None:
    alpha = np.zeros((40, 60), np.uint8)
    alpha[:20] = 200
    stored = np.dstack((smooth(40, 60), alpha))
    image = decoded(encoded(stored, "PNG", exif=tiff(6)))
    assert image.alpha is not None
    assert image.alpha.shape == (60, 40)
    assert (image.alpha[:, 20:] == 200).all()
    assert (image.alpha[:, :20] == 0).all()


def test_orientation_as_a_long_number() -> None:
    exif = b"Exif\0\0" + tiff(3, order=">", kind=4)
    assert off(decoded(encoded(stored_as(3), "PNG", exif=exif)), quarters()) == 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("cmyk", [False, True])
@pytest.mark.parametrize(
    "exif",
    [b"", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", tiff(9), tiff(0)[:30]],
)
def test_damaged_exif_is_ignored_without_a_warning(exif: bytes, cmyk: bool) -> None:
    source = Image.fromarray(quarters())
    data = encoded(source.convert("CMYK") if cmyk else source, "JPEG", quality=95)
    assert off(decoded(jpeg_segment(data, 0xE1, b"Exif\0\0" + exif)), quarters()) < 12


def test_grey_jpeg() -> None:
    grey = smooth(channels=1)
    expected = np.repeat(grey, 3, axis=2)
    assert off(decoded(encoded(grey, "JPEG", quality=95)), expected) < 3


PNG_KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4),
             (3, 8), (4, 8), (4, 16), (6, 8), (6, 16)]  # fmt: skip


@pytest.mark.parametrize(
    ("colour", "depth", "transparent"),
    [(*kind, False) for kind in PNG_KINDS] + [(*kind, True) for kind in PNG_KINDS if kind[0] < 4],
)
def test_every_kind_of_png(colour: int, depth: int, transparent: bool) -> None:
    rng = np.random.default_rng(depth)
    highest = 2**depth - 1
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    samples = rng.integers(0, highest + 1, (11, 13, channels))
    eight = np.rint(samples * 255 / highest).astype(np.uint8)
    alpha = np.full((11, 13), 255, np.uint8)
    rgb, chunks = np.repeat(eight[..., :1], 3, axis=2), []
    if colour in {2, 6}:
        rgb = eight[..., :3]
    if colour == 3:
        palette = rng.integers(0, 256, (highest + 1, 3), np.uint8)
        rgb = palette[samples[..., 0]]
        chunks.append(chunk(b"PLTE", palette.tobytes()))
    if colour in {4, 6}:
        alpha = eight[..., -1]
    if transparent and colour == 3:
        opacity = rng.integers(0, 256, highest + 1, np.uint8)
        alpha = opacity[samples[..., 0]]
        chunks.append(chunk(b"tRNS", opacity.tobytes()))
    elif transparent:
        key = samples[3, 4]
        alpha = np.where((samples == key).all(axis=2), 0, 255).astype(np.uint8)
        chunks.append(chunk(b"tRNS", b"".join(struct.pack(">H", value) for value in key)))
    image = decoded(png(colour, depth, samples, *chunks))
    assert ((image.rgb == rgb) | (alpha == 0)[..., None]).all()
    if (alpha < 255).any():
        assert image.alpha is not None
        assert (image.alpha == alpha).all()
        assert (image.rgb[alpha == 0] == 0).all()
    else:
        assert image.alpha is None


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_transparent_pixels_lose_their_colour(format_: str) -> None:
    stored = np.dstack((smooth(), np.full((48, 64), 77, np.uint8)))
    stored[10:20, 10:30, 3] = 0
    image = decoded(encoded(stored, format_, lossless=True, exact=True))
    assert image.alpha is not None
    assert (image.rgb[10:20, 10:30] == 0).all()
    assert (image.alpha == stored[..., 3]).all()
    assert (image.rgb[30:] == stored[30:, :, :3]).all()


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_opaque_alpha_is_dropped(format_: str) -> None:
    stored = np.dstack((smooth(), np.full((48, 64), 255, np.uint8)))
    data = encoded(stored, format_, lossless=True, exif=tiff(1))
    assert decoded(data).alpha is None


@pytest.mark.parametrize(
    ("format_", "transparent"),
    [("JPEG", False), ("PNG", False), ("PNG", True), ("WEBP", False), ("WEBP", True)],
)
def test_no_metadata_in_the_result(format_: str, transparent: bool) -> None:
    pixels = smooth() if not transparent else np.dstack((smooth(), smooth(channels=1)))
    secret = b"Exif\0\0" + tiff(1) + b"SECRET-PLACE"
    data = encoded(pixels, format_, exif=secret, icc_profile=swapped_profile(), comment="SECRET")
    assert b"SECRET" in data
    webp = encode_webp(decoded(data))
    kinds, position = [], 12
    while position < len(webp):
        kind, length = struct.unpack_from("<4sI", webp, position)
        kinds.append(kind)
        position += 8 + length + (length & 1)
    assert set(kinds) <= {b"VP8 ", b"VP8X", b"ALPH"}
    assert b"SECRET" not in webp


def test_webp_with_a_frame_of_another_size_is_refused() -> None:
    frame = encoded(smooth(), "WEBP")[12:]
    canvas = b"\0\0\0\0" + (9).to_bytes(3, "little") * 2
    with pytest.raises(Exception, match="corrupt_image"):
        decode(riff((b"VP8X", canvas), (b"VP8 ", frame[8:])), max_pixels=PIXELS)
