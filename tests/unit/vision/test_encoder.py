"""Every image that WebP can hold is encoded, with any method."""

import io
from functools import cache

import cv2
import numpy as np
import pytest
from PIL import Image

from consumer.vision.image.decoder import DecodedImage, Pixels
from consumer.vision.image.encoder import EncoderError, encode_webp
from consumer.vision.image.webp_tuning import Tuning, tuning
from models.drawing.scenes import draw_scene
from tests.bench.images import photographed
from tests.bench.likeness import ServedImage, compare
from tests.unit.vision.checks import decoded
from tests.unit.vision.pictures import encoded, smooth


def detailed(width: int, height: int) -> DecodedImage:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (height // 2, width // 2, 3), dtype=np.uint8)
    rgb = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    return DecodedImage(np.asarray(rgb, np.uint8), None)


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


def test_an_image_with_too_much_detail_for_the_fast_methods_is_encoded_with_method_2() -> None:
    image = detailed(5600, 3000)
    assert encode_webp(image, method=1) == encode_webp(image, method=2)


def by_itself(rgb: Pixels, method: int, quality: int = 90) -> bytes:
    """Return pixels encoded by libwebp with its own settings."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "WEBP", quality=quality, method=method)
    return buffer.getvalue()


def likeness(rgb: Pixels, *results: bytes) -> list[float]:
    """Return the SSIM of results to the pixels."""
    found = compare([encoded(rgb, "PNG")], *[[ServedImage(result, [])] for result in results])
    assert found is not None
    return found


@cache
def scene(seed: int, *, grain: float) -> Pixels:
    """Return a drawing like the benchmark's, saved as JPEG like these."""
    rng = np.random.default_rng(seed)
    rgb = photographed(draw_scene(rng, 960, 540, noise=0).rgb, rng, 8.0, grain)
    return decoded(encoded(rgb, "JPEG", quality=90)).rgb


@pytest.mark.parametrize("method", [0, 1])
def test_the_fast_methods_write_less_than_libwebp_by_itself(method: int) -> None:
    rgb = draw_scene(np.random.default_rng(2), 960, 540, noise=0).rgb
    webp, usual = encode_webp(DecodedImage(rgb, None), method=method), by_itself(rgb, method)
    assert len(webp) < 0.97 * len(usual)
    ours, usually = likeness(rgb, webp, usual)
    assert ours > usually - 0.003


@pytest.mark.parametrize("method", [0, 1])
@pytest.mark.parametrize("grain", [1.5, 4.0, 6.0])
def test_the_fast_methods_keep_grain_nearly_as_well_as_the_usual_one(
    grain: float, method: int
) -> None:
    images = [scene(seed, grain=grain) for seed in range(2)]
    assert all(tuning(rgb, 90, method).shaping == 25 for rgb in images)
    webp = [encode_webp(DecodedImage(rgb, None), method=method) for rgb in images]
    usual = [by_itself(rgb, 4) for rgb in images]
    assert sum(map(len, webp)) < 1.1 * sum(map(len, usual))
    pairs = [likeness(rgb, *both) for rgb, *both in zip(images, webp, usual, strict=True)]
    ours, usually = np.mean(pairs, axis=0)
    assert ours > usually - 0.005


def test_tuning_by_grain_quality_and_method() -> None:
    ordinary = scene(0, grain=0.5)
    assert tuning(ordinary, 90, 0) == tuning(ordinary, 90, 1) == Tuning(90, 0)
    weak, strong = tuning(scene(0, grain=1.5), 90, 0), tuning(scene(0, grain=4), 90, 0)
    assert 90.4 < weak.quality < strong.quality <= 91
    assert weak.shaping == strong.shaping == 25
    for rgb in (ordinary, scene(0, grain=4)):
        assert tuning(rgb, 90, 2) == Tuning(90, 50), "these methods keep grain by themselves"
        assert tuning(rgb, 96, 0) == Tuning(96, 50)
        assert tuning(rgb, 95, 0).quality == 95, "over it they would have to shape"


def test_the_best_quality_takes_no_more_bytes_than_libwebp_would() -> None:
    rgb = draw_scene(np.random.default_rng(2), 640, 427).rgb
    for quality in (96, 98, 100):
        webp = encode_webp(DecodedImage(rgb, None), quality=quality, method=0)
        assert len(webp) == len(by_itself(rgb, 0, quality))


@pytest.mark.parametrize("method", [0, 2, 4])
def test_what_webp_cannot_hold_is_an_error(method: int) -> None:
    with pytest.raises(EncoderError, match="20000 x 8 pixels"):
        encode_webp(DecodedImage(np.zeros((8, 20000, 3), np.uint8), None), method=method)
