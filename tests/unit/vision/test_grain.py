"""Grain on even surfaces is told from detail, whatever the size of the picture."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.vision.decoder import Pixels
from consumer.vision.grain import grain
from models.scenes import draw_scene


def noisy(rgb: Pixels, deviation: float) -> Pixels:
    noise = np.random.default_rng(1).normal(0, deviation, rgb.shape[:2])[..., None]
    return np.asarray((rgb + noise).clip(0, 255), np.uint8)


def scene(width: int, height: int) -> Pixels:
    return draw_scene(np.random.default_rng(3), width, height, noise=0).rgb


def test_grain_counts_and_smooth_surfaces_do_not() -> None:
    ramp = np.tile(np.linspace(20, 220, 512, dtype=np.uint8)[:, None, None], (1, 512, 3))
    assert grain(ramp) < 0.001
    by_deviation = [grain(noisy(ramp, deviation)) for deviation in (0.5, 1, 2, 3)]
    assert by_deviation == sorted(by_deviation)
    assert by_deviation[-1] > 0.02


def test_detail_that_stands_out_counts_for_little() -> None:
    stripes = np.tile(np.array([40, 220], np.uint8), (512, 256))
    bold = np.repeat(stripes[..., None], 3, axis=2)
    assert grain(bold) < 0.001
    flat = np.full((512, 512, 3), 128, np.uint8)
    assert grain(noisy(bold, 2)) < grain(noisy(flat, 2)) / 10


@pytest.mark.parametrize(("width", "height"), [(320, 240), (1280, 960), (4000, 3000)])
def test_a_sample_tells_as_much_as_all_of_the_picture(width: int, height: int) -> None:
    drawn = cv2.resize(scene(640, 480), (width, height), interpolation=cv2.INTER_CUBIC)
    rgb = noisy(np.asarray(drawn, np.uint8), 2)
    tiles = [
        grain(np.ascontiguousarray(rgb[top : top + 240, left : left + 320]))
        for top in range(0, height - 239, 240)
        for left in range(0, width - 319, 320)
    ]
    assert grain(rgb) == pytest.approx(np.mean(tiles), rel=0.1)


@given(st.integers(1, 40), st.integers(1, 40))
def test_pictures_of_any_size(height: int, width: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    assert 0 <= grain(noise) < 0.1
