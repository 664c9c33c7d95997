"""Measures of the evaluation on cases with known results."""

import math
from pathlib import Path

import numpy as np
import pytest

from consumer.vision.cover.margins import cover_quads
from consumer.vision.detect.obb import Detections
from models.dataset import Item
from models.evaluation.metrics import (
    angle_error,
    area,
    bounds,
    covered_share,
    long_angle,
    overlap,
    plate_height,
    wilson,
)
from models.evaluation.scoring import DetectedImage, score, summarize

UNIT = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)


def box(x, y, w, h, degrees=0.0):
    turn = math.radians(degrees)
    matrix = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    return ((UNIT - 0.5) * [w, h] @ matrix.T + [x, y]).astype(np.float32)


def test_wilson_known_values():
    assert wilson(0, 0) == (0.0, 1.0)
    assert wilson(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-3)
    assert wilson(100, 100) == pytest.approx((0.9630, 1.0), abs=1e-3)


def test_covered_share_of_halves_unions_and_reversed_corners():
    plate = box(50, 50, 40, 10)
    assert covered_share(plate, []) == 0
    assert covered_share(plate, [plate]) == 1
    assert covered_share(plate, [plate[::-1]]) == 1
    assert covered_share(plate, [box(40, 50, 20, 20)]) == pytest.approx(0.5, abs=0.02)
    halves = [box(40, 50, 20, 20), box(60, 50, 20, 20)]
    assert covered_share(plate, halves) == 1
    assert covered_share(plate, [box(200, 50, 40, 10)]) == 0
    assert covered_share(plate, [np.zeros((4, 2), np.float32)]) == 0


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("degrees", [-60, -12, 0, 30, 80])
def test_angles_do_not_depend_on_where_corners_start(start, direction, degrees):
    quad = np.roll(box(10, 10, 40, 10, degrees), start, axis=0)[::direction]
    assert long_angle(quad) == pytest.approx(degrees, abs=0.01)
    assert angle_error(quad, box(0, 0, 90, 20, degrees + 5)) == pytest.approx(5, abs=0.01)
    assert plate_height(quad) == pytest.approx(10, abs=0.01)


def test_angle_error_wraps_at_half_a_turn():
    assert angle_error(box(0, 0, 40, 10, 89), box(0, 0, 40, 10, -89)) == pytest.approx(2, abs=0.01)


def test_areas():
    assert area(box(0, 0, 40, 10, 33)) == pytest.approx(400, rel=1e-4)
    assert overlap(box(0, 0, 40, 10), box(20, 0, 40, 10)) == pytest.approx(200, rel=1e-4)
    assert area(bounds(box(0, 0, 40, 10, 90))) == pytest.approx(400, rel=1e-3)


def found(labels, quads, scores, source="a", *, oriented=True):
    labels = np.array(labels, np.float32).reshape(-1, 4, 2) / [200, 100]
    item = Item(Path("x.jpg"), labels.astype(np.float32), source, oriented=oriented)
    quads = np.array(quads, np.float32).reshape(-1, 4, 2)
    return DetectedImage(item, 200, 100, Detections(quads, np.array(scores, np.float32)), 0.01)


def test_score_counts_covers_false_covers_ratio_and_angle():
    plate = box(100, 50, 40, 10, 10)
    images = [
        found([plate], [box(100, 50, 40, 10, 13)], [0.9]),  # covered, 3 degrees off
        found([plate], [box(100, 50, 40, 10, 10)], [0.2]),  # found, but not confidently
        found([], [box(30, 30, 20, 10)], [0.9]),  # false cover
        found([], [], []),
    ]
    strict = summarize(score(images, 0.5, 0.1, ()))
    assert (strict["all"]["plates"], strict["all"]["covered"]) == (2, 1)
    assert (strict["negatives"], strict["false_covers_per_100"]) == (2, 50.0)
    plates = np.array([box(100, 50, 40, 10, 13)], np.float32)
    cover = cover_quads(Detections(plates, np.ones(1, np.float32)), 0.1)[0]
    assert strict["area_ratio_oriented"] == pytest.approx(area(cover) / area(plate), abs=0.01)
    assert strict["angle_error_oriented"] == pytest.approx(3, abs=0.01)
    assert strict["by_size"]["< 12 px"]["covered"] == 1
    assert strict["by_size"]["12-24 px"]["plates"] == 0
    assert strict["by_angle"]["10-25°"]["plates"] + strict["by_angle"]["3-10°"]["plates"] == 2
    eager = summarize(score(images, 0.1, 0.1, ()))
    assert eager["all"]["covered"] == 2


def test_loose_sources_need_less():
    plate = box(100, 50, 40, 10)
    image = found([plate], [box(100, 50, 40 * 0.85, 10)], [0.9], source="loose")
    assert score([image], 0.5, 0.0, ()).plates[0].covered is False
    assert score([image], 0.5, 0.0, ("loose",)).plates[0].covered is True


def test_a_tight_cover_in_an_upright_label_of_a_tilted_plate_counts_as_hidden_only():
    plate = box(100, 50, 40, 15, 40)
    image = found([bounds(plate)], [plate], [0.9], oriented=False)
    result = score([image], 0.5, 0.05, ()).plates[0]
    assert (result.covered, result.hidden) == (False, True)
    image = found([bounds(plate)], [plate], [0.9], oriented=True)
    assert score([image], 0.5, 0.05, ()).plates[0].hidden is False
