"""Colours: profiles become sRGB, CMYK becomes RGB, and a broken profile is ignored."""

import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.unit.vision.checks import decoded, off
from tests.unit.vision.pictures import (
    chunk,
    encoded,
    png,
    quarters,
    smooth,
    stored_as,
    tiff,
)
from tests.unit.vision.profiles import cmyk_profile, grey_profile, linear_profile, swapped_profile

RED, GREEN = (255, 0, 0), (0, 255, 0)


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


def test_cmyk_profile_is_converted() -> None:
    cyan = Image.new("CMYK", (32, 32), (255, 0, 0, 0))
    image = decoded(encoded(cyan, "JPEG", quality=95, icc_profile=cmyk_profile()))
    red, green, blue = image.rgb[16, 16].astype(int)
    assert red > 100 + max(green, blue)


@pytest.mark.parametrize(
    ("format_", "mode"), [("JPEG", "RGB"), ("PNG", "RGB"), ("WEBP", "RGB"), ("PNG", "RGBA")]
)
def test_colour_profile_is_converted(format_: str, mode: str) -> None:
    source = Image.new("RGB", (32, 32), RED).convert(mode)
    if mode == "RGBA":
        source.putalpha(128)
    image = decoded(encoded(source, format_, icc_profile=swapped_profile()))
    assert np.abs(image.rgb.astype(int) - GREEN).max() < 12


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_profile_with_the_name_of_srgb_is_converted_too(format_: str) -> None:
    image = decoded(
        encoded(Image.new("RGB", (32, 32), (128,) * 3), format_, icc_profile=linear_profile())
    )
    assert np.abs(image.rgb.astype(int) - 188).max() < 3  # 255 * 1.055 * (128/255)^(1/2.4) - 14


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_a_profile_of_srgb_changes_no_pixel_and_is_tried_once(
    format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # The time it was made; another one than in other tests.
    srgb = srgb[:34] + format_.encode()[:2] + srgb[36:]
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    tried = []
    convert = ImageCms.profileToProfile
    monkeypatch.setattr(
        ImageCms, "profileToProfile", lambda *a, **k: tried.append(1) or convert(*a, **k)
    )
    bare = decoded(encoded(noise, format_)).rgb
    for _ in range(3):
        assert np.array_equal(decoded(encoded(noise, format_, icc_profile=srgb)).rgb, bare)
    assert len(tried) == 1


def test_a_profile_that_is_too_large_to_be_of_srgb_is_converted() -> None:
    padded = linear_profile() + bytes(1 << 16)
    image = decoded(encoded(Image.new("RGB", (8, 8), (128,) * 3), "PNG", icc_profile=padded))
    assert np.abs(image.rgb.astype(int) - 188).max() < 3


def test_grey_profile_is_converted() -> None:
    light, dark = grey_profile(1.0), grey_profile(4.0)
    shades = [decoded(encoded(np.full((8, 8, 1), 128, np.uint8), "PNG", icc_profile=profile))
              .rgb[0, 0] for profile in (light, dark)]  # fmt: skip
    assert shades[0][0] > 160
    assert shades[1][0] < 100
    assert all(len(set(shade.tolist())) == 1 for shade in shades)


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


@pytest.mark.parametrize(
    "body", [b"name", b"name\0\0broken", b"n\0\0" + zlib.compress(bytes(1 << 25))]
)
def test_broken_png_profile_is_ignored(body: bytes) -> None:
    assert off(decoded(png(2, 8, smooth(), chunk(b"iCCP", body))), smooth()) == 0
