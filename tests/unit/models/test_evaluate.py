"""The evaluation command, end to end on drawn scenes with the real checkpoint."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.evaluate import main
from models.scenes import draw_scene

CHECKPOINT = Path(__file__).parents[3] / "models" / "plate-obb.pt"


@pytest.fixture
def dataset(tmp_path):
    for part in ("images", "labels"):
        (tmp_path / "data" / part / "val").mkdir(parents=True)
    for seed in range(5):
        scene = draw_scene(np.random.default_rng(seed), 640, 480, plates=seed % 3)
        path = tmp_path / "data/images/val" / f"drawn_{seed}.png"
        cv2.imwrite(str(path), cv2.cvtColor(scene.rgb, cv2.COLOR_RGB2BGR))
        lines = ["0 " + " ".join(map(str, (q / [640, 480]).ravel())) for q in scene.quads]
        (tmp_path / "data/labels/val" / f"drawn_{seed}.txt").write_text("\n".join(lines))
    return tmp_path / "data"


def test_report_plots_and_sheets(dataset, tmp_path, capsys):
    out = tmp_path / "out"
    main([str(dataset), "--checkpoint", str(CHECKPOINT), "--out", str(out), "--threads", "1",
          "--confidences", "0.25", "0.5", "--paddings", "0.1"])  # fmt: skip
    report = json.loads((out / "report.json").read_text())
    assert report["summary"]["all"]["plates"] == 4
    assert report["summary"]["all"]["covered"] == 4
    assert report["summary"]["negatives"] == 2
    assert [line["confidence"] for line in report["sweep"]] == [0.25, 0.5]
    for name in ("plots.png", "misses.png", "false_covers.png"):
        assert cv2.imread(str(out / name)) is not None
    assert "false covers per 100" in capsys.readouterr().out


def test_a_confidence_below_what_was_detected_is_refused(dataset, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(dataset), "--out", str(tmp_path), "--confidence", "0.01"])
    assert "start at" in capsys.readouterr().err
