"""The evaluation command, end to end on drawn scenes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.drawing.scenes import draw_scene
from models.evaluate import main
from tests.unit.vision.networks import write

CHECKPOINT = Path(__file__).parents[3] / "models" / "plate-obb.pt"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes, with no plate, one and two."""
    folder = tmp_path_factory.mktemp("data")
    for part in ("images", "labels"):
        (folder / part / "val").mkdir(parents=True)
    for plates in range(3):
        scene = draw_scene(np.random.default_rng(plates), 640, 480, plates)
        cv2.imwrite(str(folder / f"images/val/drawn_{plates}.png"), scene.rgb[..., ::-1])
        lines = ["0 " + " ".join(map(str, (q / [640, 480]).ravel())) for q in scene.quads]
        (folder / f"labels/val/drawn_{plates}.txt").write_text("\n".join(lines))
    return folder


def test_report_plots_and_sheets(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(dataset), "--checkpoint", str(CHECKPOINT), "--out", str(tmp_path), "--threads", "1",
          "--confidences", "0.25", "0.5", "--paddings", "0.1"])  # fmt: skip
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["summary"]["all"]["plates"] == 3
    assert report["summary"]["all"]["covered"] == 3
    assert report["summary"]["negatives"] == 1
    assert [line["confidence"] for line in report["sweep"]] == [0.25, 0.5]
    for name in ("plots.png", "misses.png", "false_covers.png"):
        assert cv2.imread(str(tmp_path / name)) is not None
    assert "false covers per 100" in capsys.readouterr().out


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
