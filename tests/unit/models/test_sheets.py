"""Contact sheets: what stands on them, in which order and in which colours."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.evaluation.scoring import score
from models.evaluation.sheets import contact_sheet, loose, misses, tile, unlabelled
from tests.unit.models.quads import HEIGHT, WIDTH, box, seen

PLATE = box(100, 50, 40, 10)


def test_the_loosest_covers_and_the_largest_missed_plates_come_first() -> None:
    images = [
        seen([PLATE], {0.9: box(100, 50, 44, 12)}, {0: PLATE}),
        seen([PLATE], {0.9: box(100, 50, 60, 30)}, {0: PLATE}),
        seen([PLATE], {}, {0: PLATE}),
        seen([box(100, 50, 80, 20)], {}, {0: box(100, 50, 80, 20)}),
    ]
    scores = score(images, 0.5, 0.0)
    assert [plate.image for plate in loose(scores)] == [1, 0]
    # Each stands there for its exact corners and for its label.
    assert [plate.image for plate in misses(scores)] == [3, 3, 2, 2]


def test_found_plates_without_a_label_on_images_with_labelled_ones() -> None:
    elsewhere = box(40, 20, 40, 10)
    images = [
        seen([PLATE], {0.9: PLATE, 0.8: elsewhere, 0.2: box(40, 80, 40, 10)}),
        seen([PLATE], {0.8: elsewhere}, source="openlpr"),
        seen([], {0.8: elsewhere}),
    ]
    ((image, quad),) = unlabelled(images, 0.5)
    assert image == 0
    assert quad == pytest.approx(elsewhere)


@pytest.mark.parametrize(("confidence", "red"), [(0.3, True), (0.7, False)])
def test_covers_are_red_from_the_confidence_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, confidence: float, red: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    cv2.imwrite("a_1.jpg", np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    image = seen([PLATE], {0.5: box(100, 50, 60, 20)}, {0: PLATE})
    r, g, b = np.moveaxis(tile(image, PLATE, confidence, 0.0, "caption").astype(int), 2, 0)
    assert ((r > 150) & (g < 60) & (b < 60)).any() == red
    assert ((r > 150) & (g > 150) & (b < 60)).any() == (not red)
    assert ((r < 80) & (g > 150) & (b < 100)).any()


def test_a_sheet_of_several_rows_and_one_of_nothing(tmp_path: Path) -> None:
    black = np.zeros((320, 320, 3), np.uint8)
    for count, expected in ((7, (640, 1920)), (2, (320, 640)), (0, (320, 320))):
        contact_sheet([black] * count, tmp_path / "sheet.png")
        sheet = cv2.imread(str(tmp_path / "sheet.png"))
        assert sheet is not None
        assert sheet.shape[:2] == expected
