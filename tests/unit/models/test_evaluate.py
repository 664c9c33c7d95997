"""The evaluation command, end to end on drawn scenes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.drawing.scenes import draw_scene
from models.evaluate import chosen, main, parse
from tests.unit.vision.networks import write

CHECKPOINT = Path(__file__).parents[3] / "models" / "plate-obb.pt"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes, with no plate, one and two; the first plate of each has exact corners."""
    folder = tmp_path_factory.mktemp("data")
    for part in ("images", "labels"):
        (folder / part / "val").mkdir(parents=True)
    marks = {}
    for plates in range(3):
        scene = draw_scene(np.random.default_rng(plates), 640, 480, plates)
        cv2.imwrite(str(folder / f"images/val/drawn_{plates}.png"), scene.rgb[..., ::-1])
        quads = [(quad / [640, 480]).ravel().tolist() for quad in scene.quads]
        lines = ["0 " + " ".join(map(str, quad)) for quad in quads]
        (folder / f"labels/val/drawn_{plates}.txt").write_text("\n".join(lines))
        marks |= {f"drawn_{plates}": {"0": quad} for quad in quads[:1]}
    (folder / "corners_val.json").write_text(json.dumps(marks))
    return folder


def test_report_plots_sheets_and_card(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = tmp_path / "card.md"
    card.write_text("<!-- evaluation -->\n<!-- /evaluation -->\n")
    main([str(dataset), "--checkpoint", str(CHECKPOINT), "--out", str(tmp_path), "--threads", "1",
          "--confidences", "0.25", "0.5", "--paddings", "0.1", "--card", str(card)])  # fmt: skip
    report = json.loads((tmp_path / "report.json").read_text())
    exact, labelled = (report["summary"][by]["groups"][0] for by in ("exact", "labelled"))
    assert (exact["plates"], exact["covered"]["count"]) == (2, 2)
    assert (labelled["plates"], labelled["covered"]["count"]) == (3, 3)
    assert exact["ratio_median"] > 1
    assert report["summary"]["false_covers"][0]["images"] == 1
    assert [line["confidence"] for line in report["by_confidence"]] == [0.25, 0.5]
    assert [line["padding"] for line in report["by_padding"]] == [0.1]
    for name in ("plots.png", "misses.png", "false_covers.png", "loose.png", "unlabelled.png"):
        assert cv2.imread(str(tmp_path / name)) is not None
    printed = capsys.readouterr().out
    assert "By exact corners" in printed
    assert card.read_text().split("\n", 1)[1].startswith(printed.rstrip("\n"))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["drawn_0", "drawn_1", "drawn_2"]),
        (["--only", "exact"], ["drawn_1", "drawn_2"]),
        (["--only", "plates", "--every", "2"], ["drawn_1"]),
        (["--only", "negatives"], ["drawn_0"]),
    ],
)
def test_which_images_are_examined(dataset: Path, options: list[str], expected: list[str]) -> None:
    truths = chosen(parse([str(dataset), "--out", "out", *options]))
    assert [truth.item.image.stem for truth in truths] == expected


def test_another_file_of_exact_corners_can_be_named(dataset: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"drawn_2": {"1": "none"}}')
    truths = chosen(parse([str(dataset), "--out", "out", "--corners", str(other)]))
    assert [dict(truth.marks) for truth in truths] == [{}, {}, {1: "none"}]
    missing = ["--corners", str(tmp_path / "missing.json")]
    with pytest.raises(SystemExit, match=r"missing\.json"):
        main([str(dataset), "--out", str(tmp_path), *missing])


def test_a_folder_without_the_wanted_images_is_refused(tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / part / "val").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images/val/a_1.png"), np.zeros((64, 64, 3), np.uint8))
    (tmp_path / "labels/val/a_1.txt").write_text("")
    with pytest.raises(SystemExit, match="--only exact leaves no image"):
        main([str(tmp_path), "--out", str(tmp_path), "--only", "exact"])


@pytest.mark.parametrize("imgsz", [160, 320])
def test_another_size_than_the_file_was_made_for_is_reported(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], imgsz: int
) -> None:
    small = write(tmp_path / "small.pt")
    main([str(dataset), "--checkpoint", str(small), "--out", str(tmp_path), "--threads", "1",
          "--tiling", "off", "--every", "2", "--confidences", "0.3", "--paddings", "0.1",
          "--imgsz", str(imgsz)])  # fmt: skip
    assert json.loads((tmp_path / "report.json").read_text())["imgsz"] == imgsz
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (imgsz != 160)
    assert all("small.pt" in line and "160 px" in line and "320 px" in line for line in lines)


def test_a_confidence_below_what_was_detected_is_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([str(dataset), "--out", str(tmp_path), "--confidence", "0.01"])
    assert "start at" in capsys.readouterr().err
