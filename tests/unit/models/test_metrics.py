"""Measures of the evaluation on cases with known results."""

import math

import numpy as np
import pytest

from models.evaluation.metrics import (
    area,
    bounds,
    covered_share,
    iou,
    long_angle,
    overlap,
    plate_height,
    poisson,
    reading_tilt,
    shrunk,
    side_ratio,
    tilt,
    wilson,
)
from tests.unit.models.quads import box


def test_wilson_known_values():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-3)
    assert wilson(100, 100) == pytest.approx((0.9630, 1.0), abs=1e-3)


@pytest.mark.parametrize(
    ("count", "low", "high"), [(0, 0, 3.689), (1, 0.0253, 5.572), (8, 3.454, 15.76)]
)
def test_poisson_is_close_to_the_exact_interval(count, low, high):
    assert poisson(count) == pytest.approx((low, high), rel=0.02, abs=0.02)


def test_covered_share_of_halves_unions_and_reversed_corners():
    plate = box(50, 50, 40, 10)
    assert covered_share(plate, []) == 0
    assert covered_share(plate, [plate]) == 1
    assert covered_share(plate, [plate[::-1]]) == 1
    assert covered_share(plate, [box(40, 50, 20, 20)]) == pytest.approx(0.5)
    halves = [box(40, 50, 20, 20), box(60, 50, 20, 20)]
    assert covered_share(plate, halves) == pytest.approx(1)
    assert covered_share(plate, [box(200, 50, 40, 10)]) == 0
    assert covered_share(plate, [np.zeros((4, 2), np.float32)]) == 0
    assert covered_share(np.zeros((4, 2), np.float32), [plate]) == 0


def test_covered_share_is_exact_where_covers_overlap_and_for_quads_in_perspective():
    plate = np.array([[0, 0], [40, 5], [40, 15], [0, 20]], np.float32)  # 600 px²
    left = box(10, 10, 20, 40)  # hides 20..15 px high: 350 px²
    assert covered_share(plate, [left]) == pytest.approx(350 / 600, abs=1e-6)
    middle = box(15, 10, 20, 40)  # to x = 25, where it is 13.75 px high
    expected = (20 + 13.75) / 2 * 25 / 600
    assert covered_share(plate, [left, middle]) == pytest.approx(expected, abs=1e-6)
    assert covered_share(plate, [middle, left]) == pytest.approx(expected, abs=1e-6)


def test_a_strip_of_three_per_cent_is_noticed():
    plate = box(50, 50, 40, 10, 30)
    assert covered_share(plate, [box(50, 50, 38.8, 10, 30)]) == pytest.approx(0.97, abs=1e-3)


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("degrees", [-60, -12, 0, 30, 80])
def test_sides_and_angles_do_not_depend_on_where_corners_start(start, direction, degrees):
    quad = np.roll(box(10, 10, 40, 10, degrees), start, axis=0)[::direction]
    assert long_angle(quad) == pytest.approx(degrees, abs=0.01)
    assert tilt(quad) == pytest.approx(abs(degrees), abs=0.01)
    assert plate_height(quad) == pytest.approx(10, abs=0.01)
    assert side_ratio(quad) == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize(("degrees", "expected"), [(-20, 20), (0, 0), (50, 50), (170, 10)])
def test_reading_tilt_of_a_plate_that_is_higher_than_wide(degrees, expected):
    assert reading_tilt(box(0, 0, 10, 12, degrees)) == pytest.approx(expected, abs=0.01)


def test_areas():
    assert area(box(0, 0, 40, 10, 33)) == pytest.approx(400, rel=1e-4)
    assert overlap(box(0, 0, 40, 10), box(20, 0, 40, 10)) == pytest.approx(200, rel=1e-4)
    assert area(bounds(box(0, 0, 40, 10, 90))) == pytest.approx(400, rel=1e-3)
    assert area(shrunk(box(7, 3, 40, 10, 20), 0.7)) == pytest.approx(400 * 0.49, rel=1e-4)
    assert shrunk(box(7, 3, 40, 10), 0.5) == pytest.approx(box(7, 3, 20, 5))


def test_iou():
    assert iou(box(0, 0, 40, 10), box(20, 0, 40, 10)) == pytest.approx(1 / 3, abs=1e-3)
    assert iou(box(0, 0, 40, 10), box(0, 0, 40, 10)) == pytest.approx(1, abs=1e-3)
    assert iou(box(0, 0, 40, 10), box(90, 0, 40, 10)) == 0


def test_iou_of_quads_without_area():
    nothing = np.zeros((4, 2), np.float32)
    assert iou(nothing, nothing) == 0
    assert not math.isnan(side_ratio(nothing))
