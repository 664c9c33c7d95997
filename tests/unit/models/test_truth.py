"""Exact corners are read, and belong to the labels of their image."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.dataset import Item
from models.evaluation.truth import read_corners, with_marks
from tests.unit.models.quads import box, normalised, seen

CORNERS = [0.1, 0.2, 0.3, 0.2, 0.3, 0.4, 0.1, 0.4]


def written(folder: Path, content: object) -> Path:
    path = folder / "corners_val.json"
    path.write_text(json.dumps(content))
    return path


def test_corners_and_verdicts_by_image_and_line(tmp_path: Path):
    marks = read_corners(written(tmp_path, {"a_1": {"0": CORNERS, "2": "unsure", "3": "none"}}))
    assert list(marks["a_1"]) == [0, 2, 3]
    assert marks["a_1"][0] == pytest.approx(np.array(CORNERS, np.float32).reshape(4, 2))
    assert (marks["a_1"][2], marks["a_1"][3]) == ("unsure", "none")


@pytest.mark.parametrize(
    "content",
    [{"a_1": {"0": CORNERS[:7]}}, {"a_1": {"0": "perhaps"}}, {"a_1": {"one": CORNERS}},
     {"a_1": CORNERS}, [CORNERS], {"a_1": {"0": ["x"] * 8}}],
)  # fmt: skip
def test_another_format_is_refused_with_the_file_s_name(tmp_path: Path, content: object):
    with pytest.raises(ValueError, match=r"corners_val\.json: not a file of exact corners"):
        read_corners(written(tmp_path, content))


def test_a_file_that_is_not_json_is_refused(tmp_path: Path):
    path = tmp_path / "corners.json"
    path.write_text("{")
    with pytest.raises(ValueError, match="not a file of exact corners"):
        read_corners(path)


def test_marks_belong_to_lines_of_the_label_file():
    quads = np.array([normalised(box(100, 50, 40, 10))], np.float32)
    items = [Item(Path("a_1.jpg"), quads, "a", oriented=True)]
    assert with_marks(items, {"a_1": {0: "none"}, "b_1": {7: "none"}})[0].marks == {0: "none"}
    assert with_marks(items, {})[0].marks == {}
    with pytest.raises(ValueError, match="a_1 has no label 1"):
        with_marks(items, {"a_1": {1: "none"}})


def test_corners_and_labels_are_in_pixels():
    plate = box(100, 50, 40, 10)
    truth = seen([plate, plate], {}, {0: plate, 1: "none"}).truth
    assert truth.corners(200, 100)[0] == pytest.approx(plate, abs=1e-3)
    assert list(truth.labels(200, 100)) == [0]
    assert truth.labels(200, 100)[0] == pytest.approx(plate, abs=1e-3)
    assert (truth.has_corners, truth.is_negative) == (True, False)
    assert not seen([plate], {}, {0: "unsure"}).truth.has_corners
