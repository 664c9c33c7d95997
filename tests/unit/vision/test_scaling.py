"""Scaling: strokes are not skipped, and everything stays where it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.vision.image.scaling import Pyramid, halved

SIDES = st.integers(2, 90)


def test_an_image_of_the_wanted_size_is_returned_as_it_is() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    assert Pyramid(image).resized(20, 30) is image


def test_half_an_image_is_the_mean_of_two_by_two_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    means = image.reshape(4, 2, 6, 2, 3).mean(axis=(1, 3))
    assert np.abs(halved(image) - means).max() <= 0.5


@given(SIDES, SIDES, st.floats(0.05, 2))
def test_any_size_is_reached_and_a_plain_colour_stays(height: int, width: int, to: float) -> None:
    image = np.full((height, width, 3), (10, 120, 240), np.uint8)
    rows, columns = max(1, round(height * to)), max(1, round(width * to))
    scaled = Pyramid(image).resized(rows, columns)
    assert scaled.shape == (rows, columns, 3)
    assert (scaled == image[0, 0]).all()


@pytest.mark.parametrize("size", [(400, 600), (401, 601), (403, 602)])
@pytest.mark.parametrize("scale", [0.7, 0.51, 0.4, 0.3, 0.13])
def test_things_stay_at_their_place(size: tuple[int, int], scale: float) -> None:
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    image[300:320, 500:540] = 255
    rows, columns = round(height * scale), round(width * scale)
    bright = Pyramid(image).resized(rows, columns)[..., 0].astype(float)
    y = (bright.sum(1) * (np.arange(rows) + 0.5)).sum() / bright.sum() / rows * height
    x = (bright.sum(0) * (np.arange(columns) + 0.5)).sum() / bright.sum() / columns * width
    assert (x, y) == pytest.approx((520, 310), abs=1.5)


@pytest.mark.parametrize("scale", [0.9, 0.7, 0.52, 0.36, 0.26, 0.14])
def test_a_stroke_is_never_lost(scale: float) -> None:
    """Wherever it lies: a line of two pixels keeps a third of its light at least."""
    lost = []
    for column in range(100, 120):
        image = np.zeros((64, 240, 3), np.uint8)
        image[:, column : column + 2] = 200
        scaled = Pyramid(image).resized(round(64 * scale), round(240 * scale))
        lost.append(scaled[len(scaled) // 2, :, 0].sum() / (400 * scale))
    assert min(lost) > 0.33
    assert np.mean(lost) == pytest.approx(1, abs=0.1)
