"""The encoder's method by the backlog, and how much grain is in an image."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumer.vision.image.decoder import Pixels
from consumer.vision.image.webp_tuning import grain_share, highest_method, method_for

SIDES = st.integers(1, 16383)
QUALITIES = st.integers(1, 100)


@given(st.integers(0, 6), SIDES, SIDES, QUALITIES, st.booleans())
def test_a_number_is_what_it_says(
    method: int, height: int, width: int, quality: int, backlog: bool
) -> None:
    chosen = method_for(method, height, width, quality=quality, backlog=backlog)
    assert chosen == method == highest_method(method)


@pytest.mark.parametrize(
    ("height", "width", "quality", "backlog", "expected"),
    [
        (1080, 1920, 90, True, 0),
        (1080, 1920, 90, False, 2),
        (3024, 4032, 90, True, 0),
        (3024, 4032, 90, False, 2),
        (4000, 6000, 90, True, 2),
        (1080, 1920, 89, True, 0),
        (1080, 1920, 88, True, 2),
        (1080, 1920, 98, True, 0),
        (1080, 1920, 100, False, 2),
    ],
)
def test_auto_is_fast_only_with_a_backlog_and_if_that_costs_few_bytes(
    height: int, width: int, quality: int, backlog: bool, expected: int
) -> None:
    assert method_for("auto", height, width, quality=quality, backlog=backlog) == expected


@given(SIDES, SIDES, QUALITIES, st.booleans())
def test_auto_never_exceeds_the_highest_method(h: int, w: int, quality: int, backlog: bool) -> None:
    assert method_for("auto", h, w, quality=quality, backlog=backlog) <= highest_method("auto")


def noisy(rgb: Pixels, deviation: float) -> Pixels:
    noise = np.random.default_rng(1).normal(0, deviation, rgb.shape[:2]).astype(np.float32)
    return np.asarray((rgb + noise[..., None]).clip(0, 255), np.uint8)


def even(width: int, height: int) -> Pixels:
    return np.full((height, width, 3), 128, np.uint8)


def test_grain_counts_and_smooth_surfaces_do_not() -> None:
    ramp = np.tile(np.linspace(20, 220, 512, dtype=np.uint8)[:, None, None], (1, 512, 3))
    assert grain_share(ramp) < 0.001
    shares = [grain_share(noisy(ramp, deviation)) for deviation in (0.5, 1, 2)]
    assert shares == sorted(shares)
    assert shares[-1] > 0.04


def test_strong_detail_counts_for_little() -> None:
    stripes = np.tile(np.array([40, 220], np.uint8), (512, 256))
    bold = np.repeat(stripes[..., None], 3, axis=2)
    assert grain_share(bold) < 0.001
    assert grain_share(noisy(bold, 2)) < grain_share(noisy(even(512, 512), 2)) / 10


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("width", "height"), [(1016, 1016), (1280, 960), (3000, 700)])
def test_the_whole_image_is_sampled(width: int, height: int, axis: int) -> None:
    everywhere = noisy(even(width, height), 1.5)
    first_half = [everywhere.copy(), everywhere.copy()]
    middle = everywhere.shape[axis] // 2
    for half, rgb in zip((slice(middle), slice(middle, None)), first_half, strict=True):
        rgb[(half, slice(None)) if axis == 0 else (slice(None), half)] = 128
    whole = grain_share(everywhere)
    for rgb in first_half:
        assert grain_share(rgb) == pytest.approx(whole / 2, rel=0.1)


@given(st.integers(1, 40), st.integers(1, 40))
def test_grain_of_any_size(height: int, width: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    share = grain_share(noise)
    assert 0 <= share < 0.1
    assert (share == 0) == (min(height, width) < 8)


@pytest.mark.parametrize(("width", "height"), [(16383, 8), (8, 16383), (16383, 16)])
def test_grain_of_long_thin_images(width: int, height: int) -> None:
    assert grain_share(noisy(even(width, height), 2)) == pytest.approx(0.05, rel=0.2)
