"""A checkpoint is judged at the size at which the worker will ask it, whatever its file says."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from consumer.settings import WorkerSettings
from models import evaluate, export, parity, quantize
from models.scenes import draw_scene
from tests.unit.vision.networks import write


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test."""
    monkeypatch.delenv("DETECT_IMGSZ", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that was made for 160 px."""
    return write(tmp_path_factory.mktemp("small") / "small.pt")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    for part in ("images", "labels"):
        (folder / part / "val").mkdir(parents=True)
    scene = draw_scene(np.random.default_rng(0), 320, 240, plates=1)
    cv2.imwrite(str(folder / "images/val/drawn_0.png"), scene.rgb[..., ::-1])
    line = "0 " + " ".join(map(str, (scene.quads[0] / [320, 240]).ravel()))
    (folder / "labels/val/drawn_0.txt").write_text(line)
    return folder


@pytest.mark.parametrize(
    ("setting", "options", "expected"),
    [
        (None, [], 640),
        ("", [], 640),
        ("320", [], 320),
        ("320", ["--imgsz", "160"], 160),
    ],
)
@pytest.mark.parametrize("in_file", [False, True])
def test_evaluation_asks_as_the_worker_does(
    dataset: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], setting: str | None, options: list[str], expected: int,
    in_file: bool,
) -> None:  # fmt: skip
    if setting is not None and in_file:
        (tmp_path / ".env").write_text(f"DETECT_IMGSZ={setting}\n")
    elif setting is not None:
        monkeypatch.setenv("DETECT_IMGSZ", setting)
    out = tmp_path / "out"
    evaluate.main(
        [str(dataset), "--checkpoint", str(small), "--out", str(out), "--threads", "1",
         "--tiling", "off", *options]
    )  # fmt: skip
    assert json.loads((out / "report.json").read_text())["imgsz"] == expected
    told = capsys.readouterr().err.splitlines()
    assert len(told) == (expected != 160)
    assert all("small.pt" in line and "160" in line and str(expected) in line for line in told)


@pytest.mark.parametrize("setting", ["", "64", "1280", "4096", " 640 ", "100", "32", "4128", "big"])
def test_the_setting_is_read_as_the_worker_reads_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], setting: str
) -> None:
    monkeypatch.setenv("detect_imgsz", setting)
    try:
        expected = WorkerSettings().detect_imgsz
    except ValueError:
        with pytest.raises(SystemExit):
            evaluate.parse(["dataset", "--out", "out"])
        assert "DETECT_IMGSZ: Input should be" in capsys.readouterr().err
    else:
        assert evaluate.parse(["dataset", "--out", "out"]).imgsz == expected


def test_an_export_is_compared_at_the_worker_s_size(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides = []

    def compare(_ours: Any, _theirs: Any, inputs: Any) -> parity.Parity:
        sides.extend(max(pixels.shape) for pixels in inputs)
        return parity.Parity(1, 1, 0, 0)

    monkeypatch.setattr(parity, "compare", compare)
    monkeypatch.setenv("DETECT_IMGSZ", "320")
    run = CliRunner().invoke(
        app,
        ["export", "--model", str(small), "--format", "onnx", "--output", str(tmp_path / "m.onnx")],
    )
    assert run.exit_code == 0, run.output
    assert set(sides) == {320}
    [line] = run.stderr.splitlines()
    assert "small.pt" in line
    assert "160" in line
    assert "320" in line


def test_int8_is_calibrated_and_judged_at_the_worker_s_size(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(quantize.LEAST_PHOTOS):
        cv2.imwrite(str(photos / f"{number}.png"), np.zeros((32, 48, 3), np.uint8))
    seen: dict[str, set[int]] = {}

    def calibrate(_path: Path, _output: Path, inputs: Any) -> None:
        seen["calibrated"] = {max(pixels.shape) for pixels in inputs}

    def compare(_ours: Any, _theirs: Any, inputs: Any) -> quantize.Fidelity:
        seen["judged"] = {max(pixels.shape) for pixels in inputs}
        return quantize.Fidelity(1, 1, 1.0, 0.0)

    def exact(*_arguments: Any) -> None:
        seen["exact"] = {_arguments[-1]}

    monkeypatch.setattr(export, "export", exact)
    monkeypatch.setattr(export, "quantize", calibrate)
    monkeypatch.setattr(export, "compare", compare)
    monkeypatch.setattr(export, "load_detector", lambda *_a, **_o: SimpleNamespace(imgsz=160))
    export.export_int8(small, tmp_path / "m.xml", photos, 320)
    assert seen == {"calibrated": {320}, "judged": {320}, "exact": {320}}
