"""Pixels, whatever they were stored as: upright, sRGB, 8 bits, and nothing beside them."""

import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from consumer.vision.codec import DecodedImage, decode, encode_webp
from tests.unit.vision.pictures import (
    PIXELS,
    chunk,
    encoded,
    jpeg_segment,
    png,
    quarters,
    riff,
    smooth,
    swapped_profile,
    tiff,
)

RED, GREEN = (255, 0, 0), (0, 255, 0)


def decoded(data: bytes) -> DecodedImage:
    image = decode(data, max_pixels=PIXELS)
    assert image.rgb.dtype == np.uint8
    assert image.rgb.flags.c_contiguous
    assert image.rgb.flags.writeable
    if image.alpha is not None:
        assert image.alpha.dtype == np.uint8
        assert image.alpha.shape == image.rgb.shape[:2]
        assert image.alpha.flags.writeable
    return image


def off(image: DecodedImage, expected: NDArray[np.uint8]) -> float:
    assert image.rgb.shape == expected.shape
    return float(np.abs(image.rgb.astype(int) - expected).mean())


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


def stored_as(orientation: int) -> NDArray[np.uint8]:
    """Return how a camera stores ``quarters()`` so that ``orientation`` shows it upright."""
    upright = Image.fromarray(quarters())
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    return np.array(upright if inverse is None else upright.transpose(inverse))


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
def test_damaged_exif_is_ignored_in_silence(exif: bytes, cmyk: bool) -> None:
    source = Image.fromarray(quarters())
    data = encoded(source.convert("CMYK") if cmyk else source, "JPEG", quality=95)
    assert off(decoded(jpeg_segment(data, 0xE1, b"Exif\0\0" + exif)), quarters()) < 12


def test_grey_jpeg() -> None:
    grey = smooth(channels=1)
    expected = np.repeat(grey, 3, axis=2)
    assert off(decoded(encoded(grey, "JPEG", quality=95)), expected) < 3


@pytest.mark.parametrize("progressive", [False, True])
def test_cmyk_jpeg(progressive: bool) -> None:
    image = Image.fromarray(smooth()).convert("CMYK")
    data = encoded(image, "JPEG", quality=95, progressive=progressive)
    assert b"Adobe" in data
    assert off(decoded(data), smooth()) < 4


def test_cmyk_jpeg_is_upright() -> None:
    image = Image.fromarray(stored_as(6)).convert("CMYK")
    data = encoded(image, "JPEG", quality=95, exif=b"Exif\0\0" + tiff(6))
    assert off(decoded(data), quarters()) < 12


PNG_KINDS = [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16), (3, 1), (3, 2), (3, 4),
             (3, 8), (4, 8), (4, 16), (6, 8), (6, 16)]  # fmt: skip


@pytest.mark.parametrize(
    ("colour", "depth", "transparent"),
    [(*kind, False) for kind in PNG_KINDS] + [(*kind, True) for kind in PNG_KINDS if kind[0] < 4],
)
def test_every_kind_of_png(colour: int, depth: int, transparent: bool) -> None:
    rng = np.random.default_rng(depth)
    most = 2**depth - 1
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    samples = rng.integers(0, most + 1, (11, 13, channels))
    eight = np.rint(samples * 255 / most).astype(np.uint8)
    alpha = np.full((11, 13), 255, np.uint8)
    rgb, chunks = np.repeat(eight[..., :1], 3, axis=2), []
    if colour in {2, 6}:
        rgb = eight[..., :3]
    if colour == 3:
        palette = rng.integers(0, 256, (most + 1, 3), np.uint8)
        rgb = palette[samples[..., 0]]
        chunks.append(chunk(b"PLTE", palette.tobytes()))
    if colour in {4, 6}:
        alpha = eight[..., -1]
    if transparent and colour == 3:
        opacity = rng.integers(0, 256, most + 1, np.uint8)
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
def test_nothing_hides_under_full_transparency(format_: str) -> None:
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
    ("format_", "mode"), [("JPEG", "RGB"), ("PNG", "RGB"), ("WEBP", "RGB"), ("PNG", "RGBA")]
)
def test_colour_profile_is_converted(format_: str, mode: str) -> None:
    source = Image.new("RGB", (32, 32), RED).convert(mode)
    if mode == "RGBA":
        source.putalpha(128)
    image = decoded(encoded(source, format_, icc_profile=swapped_profile()))
    assert np.abs(image.rgb.astype(int) - GREEN).max() < 12


def test_grey_profile_is_converted() -> None:
    light, dark = grey_profile(1.0), grey_profile(4.0)
    shades = [decoded(encoded(np.full((8, 8, 1), 128, np.uint8), "PNG", icc_profile=profile))
              .rgb[0, 0] for profile in (light, dark)]  # fmt: skip
    assert shades[0][0] > 160 > 100 > shades[1][0]
    assert all(len(set(shade.tolist())) == 1 for shade in shades)


def grey_profile(gamma: float) -> bytes:
    """Return an ICC profile of one channel with a plain power curve."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 63190, 65536, 54061)
    tags = struct.pack(">I", 2) + b"wtpt" + struct.pack(">II", 156, 20)
    tags += b"kTRC" + struct.pack(">II", 176, 16)
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = b"\x02\x40\0\0", b"mntrGRAYXYZ ", b"acsp"
    head[68:80] = struct.pack(">iii", 63190, 65536, 54061)
    struct.pack_into(">I", head, 0, 192)
    return bytes(head) + tags + white + curve


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kind", ["noise", "cut", "lab", "grey", "srgb"])
def test_unusable_profile_is_ignored(format_: str, kind: str) -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = {
        "noise": b"\x13\x37" * 200,
        "cut": swapped_profile()[:200],
        "lab": lab,
        "grey": grey_profile(3.0),
        "srgb": srgb,
    }[kind]
    image = decoded(encoded(Image.new("RGB", (32, 32), RED), format_, icc_profile=profile))
    assert np.abs(image.rgb.astype(int) - RED).max() < 12


@pytest.mark.parametrize("body", [b"name", b"name\0\0broken", b"n\0\0" + zlib.compress(bytes(1 << 25))])
def test_broken_png_profile_is_ignored(body: bytes) -> None:
    assert off(decoded(png(2, 8, smooth(), chunk(b"iCCP", body))), smooth()) == 0


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


def test_encoding_keeps_pixels_and_alpha() -> None:
    alpha = smooth(channels=1, seed=3)[..., 0]
    alpha[:5] = 255
    rgb = smooth()
    rgb[alpha == 0] = 0
    again = decoded(encode_webp(DecodedImage(rgb, alpha)))
    assert again.alpha is not None
    assert (again.alpha == alpha).all()
    assert np.abs(again.rgb.astype(int) - rgb)[alpha > 0].mean() < 4
    opaque = decoded(encode_webp(DecodedImage(rgb, None)))
    assert opaque.alpha is None


def test_quality_and_method_are_passed_on() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    image = DecodedImage(noise, None)
    sizes = [len(encode_webp(image, quality=quality)) for quality in (20, 60, 90)]
    assert sizes == sorted(set(sizes))
    assert encode_webp(image, method=0) != encode_webp(image, method=4)


def test_webp_with_a_frame_of_another_size_is_refused() -> None:
    frame = encoded(smooth(), "WEBP")[12:]
    canvas = b"\0\0\0\0" + (9).to_bytes(3, "little") * 2
    with pytest.raises(Exception, match="corrupt_image"):
        decode(riff((b"VP8X", canvas), (b"VP8 ", frame[8:])), max_pixels=PIXELS)
