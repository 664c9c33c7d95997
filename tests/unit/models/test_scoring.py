"""Scores of plates: what counts as covered, in which groups, and what is left out."""

import math

import numpy as np
import pytest

from consumer.vision.cover.margins import cover_quads
from models.evaluation.metrics import area, bounds
from models.evaluation.scoring import SHAPES, PlateScore, area_ratio, score, shape
from models.evaluation.summary import coverage, false_covers, grouped, summarize, times
from tests.unit.models.quads import HEIGHT, WIDTH, box, seen

PLATE = box(100, 50, 40, 10)


def cover_of(plate, padding):
    return cover_quads(plate[None], padding)[0]


def test_only_plates_from_the_confidence_on_cover():
    image = seen([PLATE], {0.4: PLATE}, {0: PLATE})
    for confidence, expected in ((0.3, 1), (0.5, 0)):
        scores = score([image], confidence, 0.1)
        assert [p.share for p in scores.exact] == [pytest.approx(expected)]
        assert [p.covered for p in scores.labelled] == [bool(expected)]


@pytest.mark.parametrize(
    ("width", "covered", "fully"), [(40, True, True), (38, True, False), (35, False, False)]
)
def test_exact_corners_have_two_levels(width, covered, fully):
    image = seen([PLATE], {0.9: box(100, 50, width, 10)}, {0: PLATE})
    plate = score([image], 0.5, 0.0).exact[0]
    assert (plate.covered, plate.fully) == (covered, fully)
    assert plate.ratio == pytest.approx(width / 40, abs=0.01)


def test_covers_count_together_and_the_ratio_is_of_the_one_that_hides_most():
    covers = {0.9: box(90, 50, 30, 20), 0.8: box(115, 50, 20, 10)}
    plate = score([seen([PLATE], covers, {0: PLATE})], 0.5, 0.0).exact[0]
    assert plate.share == pytest.approx(1)
    assert plate.ratio == pytest.approx(30 * 20 / 400, abs=0.01)


def test_the_ratio_counts_the_cover_only_within_the_image():
    plate = box(10, 50, 20, 10)
    cover = box(5, 50, 40, 10)  # 15 of its 40 px are left of the image
    assert area_ratio(plate, [cover], WIDTH, HEIGHT) == pytest.approx(25 / 20, abs=0.01)


def test_a_cover_that_hides_less_than_half_of_a_plate_has_no_ratio():
    assert math.isnan(area_ratio(PLATE, [box(125, 50, 40, 10), box(75, 50, 40, 10)], 200, 100))
    assert math.isnan(area_ratio(PLATE, [], WIDTH, HEIGHT))
    assert area_ratio(PLATE, [box(110, 50, 40, 10)], WIDTH, HEIGHT) == pytest.approx(1, abs=0.01)


def test_an_upright_label_counts_by_its_inner_part():
    label = bounds(box(100, 50, 40, 12, 20))
    inner = 0.72 * (label - label.mean(0)) + label.mean(0)
    upright = score([seen([label], {0.9: inner}, oriented=False)], 0.5, 0.0).labelled[0]
    assert upright.covered
    assert math.isnan(upright.ratio)
    assert math.isnan(upright.tilt)
    assert upright.height_px == pytest.approx(float(np.ptp(label[:, 1])), abs=0.01)
    oriented = score([seen([label], {0.9: inner}, oriented=True)], 0.5, 0.0).labelled[0]
    assert not oriented.covered


def test_loose_oriented_labels_need_less():
    found = {0.9: box(100, 50, 34, 10)}
    for source, expected in (("npdetect_jp", True), ("chirag_poly", False)):
        assert (
            score([seen([PLATE], found, source=source)], 0.5, 0.0).labelled[0].covered is expected
        )


def test_unsure_plates_are_left_out_of_exact_ones_and_rejected_labels_of_both():
    labels = [PLATE, box(40, 20, 40, 10), box(40, 80, 40, 10)]
    images = [seen(labels, {}, {0: PLATE, 1: "unsure", 2: "none"})]
    scores = score(images, 0.5, 0.0)
    assert (len(scores.exact), len(scores.labelled)) == (1, 2)
    assert summarize(images, scores)["exact"]["left_out"] == {"unsure": 1, "none": 1}


def test_an_image_whose_only_label_is_rejected_is_no_image_without_plates():
    scores = score([seen([PLATE], {0.9: PLATE}, {0: "none"})], 0.5, 0.0)
    assert not scores.negatives
    assert not scores.false_covers


def test_false_covers_by_kind_of_image():
    images = [
        seen([], {0.9: PLATE, 0.8: box(40, 20, 40, 10), 0.2: box(40, 80, 40, 10)}, source="signs"),
        seen([], {}, source="signs"),
        seen([], {}, source="things"),
        seen([PLATE], {0.9: box(40, 20, 40, 10)}),
    ]
    rows = {row["group"]: row for row in false_covers(score(images, 0.5, 0.0))}
    assert {name: row["false_covers"] for name, row in rows.items()} == {
        "all": 2,
        "signs": 2,
        "things": 0,
    }
    assert [rows[name]["per_100"] for name in rows] == [pytest.approx(66.67), 100, 0]
    assert rows["signs"]["low"] < 100 < rows["signs"]["high"]
    assert rows["things"]["high"] > 100
    assert false_covers(score(images[3:], 0.5, 0.0))[0]["per_100"] is None


@pytest.mark.parametrize(
    ("quad", "source", "expected"),
    [
        (PLATE, "a", 0),
        (box(0, 0, 20, 10, 40), "a", 1),
        (box(0, 0, 10, 20), "a", 1),
        (PLATE, "vn_moto", 2),
        (box(0, 0, 12, 10), "id_moto", 2),
    ],
)
def test_shapes(quad, source, expected):
    assert shape(quad, source) == SHAPES[expected]


def plate_score(**changes):
    values = {
        "image": 0, "quad": PLATE, "source": "a", "height_px": 30.0, "tilt": 0.0,
        "shape": SHAPES[0], "share": 1.0, "covered": True, "ratio": 1.2,
    }  # fmt: skip
    return PlateScore(**{**values, **changes})


def test_groups_by_size_tilt_shape_and_source():
    plates = [
        plate_score(height_px=11.9, covered=False, share=0.5, ratio=math.nan),
        plate_score(height_px=12.0, tilt=9.9, ratio=1.0),
        plate_score(height_px=24.0, tilt=10.0, share=0.95, ratio=2.0),
        plate_score(height_px=48.0, tilt=math.nan, source="b", shape=SHAPES[1]),
    ]
    groups = {group["group"]: group for group in grouped(plates)}
    assert {name: group["plates"] for name, group in groups.items()} == {
        "all": 4,
        "12 px and more": 3,
        "under 12 px": 1,
        "12-24 px": 1,
        "24-48 px": 1,
        "48 px and more": 1,
        "tilted by under 10°": 2,
        "10-25°": 1,
        SHAPES[0]: 3,
        SHAPES[1]: 1,
        "a": 3,
        "b": 1,
    }
    assert groups["all"]["covered"]["share"] == 0.75
    assert groups["all"]["fully"]["share"] == 0.5
    assert groups["12 px and more"]["covered"]["low"] < 1
    assert (groups["all"]["ratio_median"], groups["24-48 px"]["ratio_p90"]) == (1.2, 2.0)


def test_without_plates_there_is_no_share():
    figures = coverage([])
    assert (figures["plates"], figures["covered"]["share"]) == (0, None)
    assert (figures["ratio_median"], figures["ratio_p90"]) == (None, None)
    assert [group["group"] for group in grouped([])] == ["all"]


def test_p90_of_the_ratio():
    figures = coverage([plate_score(ratio=float(r)) for r in range(1, 12)])
    assert (figures["ratio_median"], figures["ratio_p90"]) == (6, 10)


def test_the_cover_is_the_worker_s():
    image = seen([PLATE], {0.9: PLATE}, {0: PLATE})
    plate = score([image], 0.5, 0.1).exact[0]
    assert plate.ratio == pytest.approx(area(cover_of(PLATE, 0.1)) / 400, rel=0.01)
    assert times([image]) == {"median": 0.01, "mean": 0.01, "p90": 0.01}
