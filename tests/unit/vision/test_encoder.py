"""Every picture that WebP can hold is encoded, with any method."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from consumer.vision.decoder import DecodedImage, decode
from consumer.vision.encoder import EncoderError, encode_webp
from models.scenes import draw_scene
from tests.unit.vision.checks import decoded
from tests.unit.vision.pictures import smooth


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


@pytest.mark.parametrize("method", [0, 1])
def test_more_detail_than_the_fast_methods_can_note_down(method: int) -> None:
    image = detailed(5600, 3000)
    with pytest.raises(ValueError, match="encoding error 6"):  # libwebp itself, asked the same
        Image.fromarray(image.rgb).save(io.BytesIO(), "WEBP", quality=90, method=method)
    assert encode_webp(image, method=method) == encode_webp(image, method=2)


@pytest.mark.parametrize("method", [0, 1])
def test_the_fast_methods_write_less_than_they_would_by_themselves(method: int) -> None:
    rgb = draw_scene(np.random.default_rng(2), 640, 427).rgb
    usual = io.BytesIO()
    Image.fromarray(rgb).save(usual, "WEBP", quality=90, method=method)
    webp = encode_webp(DecodedImage(rgb, None), method=method)
    assert len(webp) < 0.97 * len(usual.getvalue())
    seen = decode(webp, max_pixels=10**6).rgb
    usually = decode(usual.getvalue(), max_pixels=10**6).rgb
    assert cv2.PSNR(seen, rgb) > cv2.PSNR(usually, rgb) - 0.5


@pytest.mark.parametrize("method", [0, 2, 4])
def test_what_webp_cannot_hold_is_an_error(method: int) -> None:
    with pytest.raises(EncoderError, match="20000 x 8 pixels"):
        encode_webp(DecodedImage(np.zeros((8, 20000, 3), np.uint8), None), method=method)
