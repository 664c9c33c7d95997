"""The benchmark's likeness: SSIM, where it is computed, and which images are left out."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.bench import likeness
from tests.bench.likeness import Luma, ServedImage, compare, ssim, uncovered
from tests.bench.processes import BenchError
from tests.support.pictures import encoded, pixels_of, scene_file

COVER = [[100.0, 60.0], [180.0, 70.0], [178.0, 100.0], [98.0, 90.0]]


def picture(height: int = 300, width: int = 400) -> Luma:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (height, width)).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), 3), np.uint8)


def noisy(grey: Luma, sigma: float) -> Luma:
    noise = np.random.default_rng(1).normal(0, sigma, grey.shape)
    return np.clip(grey + noise, 0, 255).astype(np.uint8)


def everywhere(grey: Luma) -> likeness.Mask:
    return np.ones(grey.shape, np.bool_)


def webp(data: bytes, quality: int) -> bytes:
    return encoded(pixels_of(data), "WEBP", quality=quality)


def test_identical_pictures_are_1_and_noise_makes_it_less() -> None:
    grey = picture()
    values = [ssim(grey, noisy(grey, sigma), everywhere(grey)) for sigma in (0, 2, 8)]
    assert values[0] == pytest.approx(1, abs=1e-6)
    assert 0.99 > values[1] > values[2] + 0.1 > 0.1


def test_constants_are_those_of_the_definition() -> None:
    """Of flat pictures only the means count: (2ab + C1) / (a² + b² + C1)."""
    dark, light = np.full((40, 40), 20, np.uint8), np.full((40, 40), 30, np.uint8)
    c1 = (0.01 * 255) ** 2
    expected = (2 * 20 * 30 + c1) / (20**2 + 30**2 + c1)
    assert ssim(dark, light, everywhere(dark)) == pytest.approx(expected, abs=1e-4)


def test_a_window_is_gaussian_with_sigma_1_5() -> None:
    """In the window's middle, by the definition written out; far off, nothing has changed."""
    one = picture(61, 61)
    other = one.copy()
    other[30, 30] ^= 64
    middle = np.zeros(one.shape, np.bool_)
    middle[30, 30] = True
    weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(weights, weights) / weights.sum() ** 2
    a, b = one[25:36, 25:36].astype(float), other[25:36, 25:36].astype(float)
    mean_a, mean_b = (window * a).sum(), (window * b).sum()
    var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
    covariance = (window * (a - mean_a) * (b - mean_b)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    expected = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    expected /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    assert ssim(one, other, middle) == pytest.approx(expected, abs=1e-4)
    off = np.zeros(one.shape, np.bool_)
    off[30, 36] = True
    assert ssim(one, other, off) == pytest.approx(1, abs=1e-6)


def test_strips_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = picture(301)
    worse = noisy(grey, 4)
    where = np.random.default_rng(2).random(grey.shape) < 0.5
    monkeypatch.setattr(likeness, "_STRIP_ROWS", 1000)
    whole = ssim(grey, worse, where)
    for rows in (7, 100, 300):
        monkeypatch.setattr(likeness, "_STRIP_ROWS", rows)
        assert ssim(grey, worse, where) == pytest.approx(whole, abs=1e-6)


def test_a_covered_area_and_what_coding_changes_beside_it_are_left_out() -> None:
    grey = picture()
    covered = grey.copy()
    cv2.fillConvexPoly(covered, np.array(COVER).astype(np.int32), (255,))
    free = uncovered(grey.shape, [COVER])
    assert ssim(grey, covered, everywhere(grey)) < 0.99
    assert ssim(grey, covered, free) == pytest.approx(1, abs=1e-6)
    assert 0.85 < free.mean() < 0.95


def test_covers_may_overlap_and_lie_outside() -> None:
    twice = uncovered((300, 400), [COVER, COVER])
    assert np.array_equal(twice, uncovered((300, 400), [COVER]))
    far = [[-500.0, -500.0], [-400.0, -500.0], [-400.0, -400.0], [-500.0, -400.0]]
    assert uncovered((300, 400), [far]).all()
    assert uncovered((300, 400), []).all()


def test_services_are_compared_where_neither_covers() -> None:
    data = scene_file(width=480)
    good, bad = webp(data, 90), webp(data, 20)
    image = Image.open(io.BytesIO(good)).convert("RGB")
    image.paste((255, 0, 255), (100, 60, 180, 100))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=90)
    cover = [[100.0, 60.0], [180.0, 60.0], [180.0, 100.0], [100.0, 100.0]]
    means = compare([data], [ServedImage(good, [])], [ServedImage(buffer.getvalue(), [cover])])
    assert means is not None
    assert means[0] == pytest.approx(means[1], abs=0.01)
    means = compare([data, data], [ServedImage(good, [])] * 2, [ServedImage(bad, [])] * 2)
    assert means is not None
    assert means[0] > means[1] + 0.02


def test_turned_pictures_are_left_out() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = scene_file(width=480)
    turned = encoded(pixels_of(plain), exif=exif)
    result = ServedImage(webp(plain, 90), None)
    assert compare([turned], [result], [result]) is None
    assert compare([turned, plain], [result] * 2) == compare([plain], [result])


def test_a_result_of_another_size_is_an_error() -> None:
    result = ServedImage(webp(scene_file(width=320), 90), None)
    with pytest.raises(BenchError, match="made"):
        compare([scene_file(width=480)], [result])


def test_a_result_that_is_no_image_is_an_error() -> None:
    with pytest.raises(BenchError, match="cannot be compared"):
        compare([scene_file(width=480)], [ServedImage(b"<html>", None)])
