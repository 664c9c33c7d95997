"""Drawn motorcycles: the corners lie where the plate is drawn, at any tilt."""

import cv2
import numpy as np
import pytest

from models.drawing.motorcycle_scenes import draw_motorcycle_scene, put_motorcycle, random_tilt
from models.drawing.plates import GREEN, Style
from models.drawing.styles import STYLES, TWO_ROW, TWO_ROW_RATIO
from models.drawing.wear import obstruct

SIZE = 256
MAGENTA = (220, 20, 200)


def drawn(seed, ground):
    """Return an image with one machine, and its plate of one colour without text."""
    image = np.full((SIZE, SIZE, 3), 120, np.uint8)
    style = Style("test", 200, 150, ground, ground, (), border=0)
    rng = np.random.default_rng(seed)
    return image, put_motorcycle(rng, image, (SIZE / 2, 110.0), 300.0, styles=[style])


def inside(quad):
    return cv2.fillConvexPoly(np.zeros((SIZE, SIZE), np.uint8), np.rint(quad).astype(int), 1) > 0


def test_corners_lie_where_the_plate_is_drawn():
    seen = []
    for seed in range(12):
        image, quad = drawn(seed, MAGENTA)
        other, same = drawn(seed, GREEN)
        if quad is None:
            continue
        assert np.array_equal(quad, same)
        plate = np.abs(image.astype(int) - other).max(2) > 12
        area = inside(quad)
        assert (plate & area).sum() > 0.95 * plate.sum(), "nothing of the plate is outside"
        seen.append((plate & area).sum() / area.sum())
    assert len(seen) >= 8
    assert np.median(seen) > 0.92, "all but the round corners and half a pixel at the edges"
    assert min(seen) > 0.4, "what stands in front leaves some of it to be seen"


def test_a_scene_is_fixed_by_its_seed_and_its_plates_are_inside():
    count = 0
    for seed in range(4):
        scene, again = (
            draw_motorcycle_scene(np.random.default_rng(seed), 160, 128, 2) for _ in range(2)
        )
        assert np.array_equal(scene.rgb, again.rgb)
        assert np.array_equal(scene.quads, again.quads)
        assert scene.rgb.shape == (128, 160, 3)
        count += len(scene.quads)
        for quad in scene.quads:
            assert (quad > 0).all()
            assert (quad < [160, 128]).all()
            assert cv2.contourArea(quad, oriented=True) > 0, "clockwise on screen"
    assert count >= 3


def test_a_machine_that_would_hide_a_plate_is_not_drawn():
    quad = np.array([[60, 60], [190, 60], [190, 190], [60, 190]], np.float32)
    image = np.full((SIZE, SIZE, 3), 120, np.uint8)
    rng = np.random.default_rng(0)
    assert put_motorcycle(rng, image, (SIZE / 2, 110.0), 300.0, taken=[quad]) is None
    assert (image == 120).all()


def test_machines_stand_lean_and_lie():
    rng = np.random.default_rng(0)
    tilts = np.abs([random_tilt(rng) for _ in range(500)])
    assert 0.4 < (tilts < 20).mean() < 0.75
    assert (tilts > 40).mean() > 0.15
    assert 0.05 < (tilts > 70).mean() < 0.2
    assert tilts.max() <= 100


def test_styles_of_two_rows_are_many_and_from_square_to_wide():
    moto = [style for style in STYLES if style.region == "moto"]
    ratios = [style.w / style.h for style in moto]
    assert min(ratios) < 1.0
    assert max(ratios) > 2.0
    assert sum(ratio < 1.5 for ratio in ratios) > 15
    assert all(style.w < TWO_ROW_RATIO * style.h for style in TWO_ROW)


@pytest.mark.parametrize("seed", range(24))
def test_what_stands_in_front_covers_a_part_of_the_plate(seed):
    quad = np.array([[80, 100], [170, 100], [170, 160], [80, 160]], np.float32)
    image = np.full((SIZE, SIZE, 3), 254, np.uint8)
    obstruct(np.random.default_rng(seed), image, quad)
    again = np.full((SIZE, SIZE, 3), 254, np.uint8)
    obstruct(np.random.default_rng(seed), again, quad)
    assert np.array_equal(image, again)
    covered = (image != 254).any(2)
    assert covered.any()
    assert covered[inside(quad)].mean() < 0.7
