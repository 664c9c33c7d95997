"""The tables of a report, and the model card that they are written into."""

from pathlib import Path

import pytest

from models.evaluation.calibration import judged, reliability
from models.evaluation.scoring import score
from models.evaluation.summary import coverage, false_covers, summarize
from models.evaluation.tables import interval, report_text, table, write_card
from tests.unit.models.quads import box, seen

PLATE = box(100, 50, 40, 10)


def report():
    images = [
        seen([PLATE], {0.95: PLATE}, {0: PLATE}, source="cars"),
        seen([], {0.4: PLATE}, source="signs"),
    ]
    scores = score(images, 0.3, 0.0)
    line = {
        "confidence": 0.3,
        "padding": 0.06,
        "exact": coverage(scores.exact),
        "labelled": coverage(scores.labelled),
        "false_covers": false_covers(scores)[0],
    }
    return {
        "checkpoint": "some.pt", "images": 2, "imgsz": 640, "tiling": "auto", "device": "cpu",
        "confidence": 0.3, "padding": 0.0, "summary": summarize(images, scores),
        "calibration": reliability(judged(images)), "by_confidence": [line], "by_padding": [line],
    }  # fmt: skip


def cells(text: str, first: str) -> list[str]:
    """Return the cells of the row that starts with ``first``."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    return next(row for row in rows if row and row[0] == first)


def test_the_tables_show_the_figures():
    text = report_text(report())
    assert "`some.pt` at 640 px on cpu" in text
    assert cells(text, "cars")[1:] == [
        "1", "100.0 % (20.6-100.0)", "100.0 % (20.6-100.0)", "1.00", "1.00",
    ]  # fmt: skip
    assert cells(text, "signs") == ["signs", "1", "1", "100.0 (1.3-556.4)"]
    assert cells(text, "0.3") == ["0.3", "100.0 %", "100.0 %", "1.00", "100.0 %", "100.00"]
    assert cells(text, "0.06")[0] == "0.06"
    assert cells(text, "0.9-1.0")[1:3] == ["1", "0.95"]


def test_a_report_without_any_plate_has_no_numbers_for_them():
    image = seen([], {})
    scores = score([image], 0.3, 0.0)
    empty = {
        **report(),
        "summary": summarize([image], scores),
        "calibration": reliability([]),
        "by_confidence": [],
        "by_padding": [],
    }
    assert cells(report_text(empty), "all")[1:] == ["0", "–", "–", "–", "–"]


def test_columns_are_as_wide_as_their_widest_cell():
    assert table(("a", "b"), [("longer", 1)]) == ("| a      | b |\n|--------|---|\n| longer | 1 |")
    assert table(("a", "b"), []) == ""


def test_an_interval_is_in_per_cent():
    assert interval({"share": 0.5, "low": 0.25, "high": 0.751}) == "50.0 % (25.0-75.1)"


def test_only_what_stands_between_the_marks_of_the_card_is_replaced(tmp_path: Path):
    card = tmp_path / "README.md"
    card.write_text("before\n<!-- evaluation -->\nold\n<!-- /evaluation -->\nafter – ü\n", "utf-8")
    for text in ("first", "second"):
        write_card(card, text)
        assert card.read_text("utf-8") == (
            f"before\n<!-- evaluation -->\n{text}\n<!-- /evaluation -->\nafter – ü\n"
        )


@pytest.mark.parametrize("text", ["", "<!-- evaluation -->", "<!-- /evaluation --> only the end"])
def test_a_card_without_both_marks_is_refused_and_stays_as_it_is(tmp_path: Path, text: str):
    card = tmp_path / "README.md"
    card.write_text(text, "utf-8")
    with pytest.raises(ValueError, match="has no"):
        write_card(card, "new")
    assert card.read_text("utf-8") == text
