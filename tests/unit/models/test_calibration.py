"""What counts as a right plate, and how far scores are from the share of right ones."""

import pytest

from models.evaluation.calibration import Judged, is_right, judged, reliability
from models.evaluation.metrics import bounds
from tests.unit.models.quads import box, seen

PLATE = box(100, 50, 40, 10)


@pytest.mark.parametrize(("shift", "expected"), [(0, True), (18, True), (26, False), (60, False)])
def test_a_right_plate_overlaps_a_label(shift, expected):
    assert is_right(box(100 + shift, 50, 40, 10), seen([PLATE], {})) is expected


def test_exact_corners_count_as_labels_do():
    image = seen([box(100, 50, 120, 60)], {}, {0: PLATE})
    assert is_right(PLATE, image)
    assert not is_right(PLATE, seen([box(100, 50, 120, 60)], {}))


def test_a_tilted_plate_fits_into_an_upright_label():
    plate = box(100, 50, 60, 8, 45)
    assert is_right(plate, seen([bounds(plate)], {}, oriented=False))
    assert not is_right(plate, seen([bounds(plate)], {}, oriented=True))


def test_a_plate_over_an_unsure_label_is_right_and_one_over_a_rejected_label_is_not():
    large, small = box(100, 50, 100, 60), box(100, 50, 30, 10)
    assert is_right(small, seen([large], {}, {0: "unsure"}))
    assert not is_right(small, seen([large], {}))
    assert not is_right(box(155, 50, 30, 10), seen([large], {}, {0: "unsure"}))
    assert not is_right(large, seen([large], {}, {0: "none"}))


def test_images_with_unlabelled_plates_are_left_out():
    found = {0.9: PLATE}
    images = [seen([], found, source="openlpr"), seen([PLATE], found), seen([], found)]
    assert [plate.right for plate in judged(images)] == [True, False]


def test_reliability_and_the_expected_error():
    plates = [Judged(0.85, right=True)] * 3 + [Judged(0.85, right=False)]
    plates += [Judged(0.25, right=False)] * 4
    result = reliability(plates)
    assert [(b["from"], b["plates"], b["share"]) for b in result["bins"]] == [
        (0.2, 4, 0.0),
        (0.8, 4, 0.75),
    ]
    assert result["error"] == pytest.approx((0.1 + 0.25) / 2)


def test_the_last_bin_holds_the_score_of_one():
    result = reliability([Judged(1.0, right=True)])
    assert (result["bins"][0]["from"], result["error"]) == (0.9, 0)


def test_nothing_found():
    assert reliability([]) == {"bins": [], "error": None, "plates": 0}
