"""INT8: the plates that the checkpoint finds are covered, on photographs not calibrated with."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from cli.main import app
from consumer.errors import ModelError
from consumer.vision.detect.detector import load_detector
from consumer.vision.image.scaling import Pyramid
from consumer.vision.views.letterbox import letterbox
from models.drawing.scenes import draw_scene
from models.export.files import export_int8
from models.export.int8 import (
    MAX_CALIBRATION_PHOTOS,
    MIN_PHOTOS,
    MIN_PLATES,
    Fidelity,
    measure_fidelity,
    split,
)
from models.export.parity import ParityError
from tests.unit.models.detectors import Fixed
from tests.unit.vision.networks import pictures, write

CHECKPOINT = Path(__file__).parents[3] / "models" / "plate-obb.pt"
Found = Sequence[tuple[float, float]]


def fidelity(ours: Found, theirs: Found) -> Fidelity:
    inputs = [np.zeros((64, 640, 3), np.uint8)] * MIN_PLATES
    return measure_fidelity(Fixed(*ours), Fixed(*theirs), inputs)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_int8_covers_what_the_checkpoint_finds(tmp_path: Path) -> None:
    photos, output = tmp_path / "photos", tmp_path / "int8.xml"
    photos.mkdir()
    for seed in range(MIN_PHOTOS):
        rgb = draw_scene(np.random.default_rng(seed), 320, 224, plates=1 + seed % 2).rgb
        cv2.imwrite(str(photos / f"{seed}.jpg"), rgb[..., ::-1])
    run = CliRunner(env={"DETECT_IMGSZ": "320"}).invoke(
        app, ["export", "--int8", "--images", str(photos), "--model", str(CHECKPOINT),
              "--output", str(output)],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    assert "% of the" in run.output
    assert output.with_suffix(".bin").stat().st_size < 0.6 * CHECKPOINT.stat().st_size
    exact = load_detector(CHECKPOINT, device="cpu", confidence=0.3, max_batch=1)
    fast = load_detector(output, device="cpu", confidence=0.3, max_batch=1, precision="auto")
    scene = draw_scene(np.random.default_rng(99), 320, 240)
    pixels = letterbox(Pyramid(scene.rgb), 320).pixels[None]
    [expected], [found] = exact.detect(pixels), fast.detect(pixels)
    assert len(expected.quads) == len(found.quads) == 1
    assert np.abs(expected.quads - found.quads).max() < 4


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_network_that_int8_changes_too_much_is_not_kept(tmp_path: Path) -> None:
    """Random weights give boxes that hang on every digit."""
    checkpoint, photos, output = write(tmp_path / "m.pt"), tmp_path / "photos", tmp_path / "m.xml"
    photos.mkdir()
    for number, rgb in enumerate(pictures(MIN_PHOTOS)):
        cv2.imwrite(str(photos / f"{number}.png"), rgb)
    output.write_text("in use")
    with pytest.raises(ParityError, match="in INT8 it covers"):
        export_int8(checkpoint, output, photos, 320)
    assert set(tmp_path.iterdir()) == {checkpoint, photos, output}
    assert output.read_text() == "in use"


def test_fidelity_counts_hidden_plates_and_new_covers() -> None:
    assert fidelity([(0, 0.9)], [(0, 0.4)]) == Fidelity(MIN_PLATES, MIN_PLATES, 1.0, 0.0)
    assert fidelity([(0, 0.9)], [(0, 0.29)]).recall == 0
    assert fidelity([(0, 0.9)], [(20, 0.9)]).recall == 0
    assert fidelity([(0, 0.9), (200, 0.3)], [(0, 0.9)]).recall == 0.5
    assert fidelity([(0, 0.9)], [(0, 0.9), (300, 0.5)]).new == 1
    assert fidelity([(0, 0.9), (300, 0.1)], [(0, 0.9), (300, 0.5)]).new == 0
    assert fidelity([(0, 0.9)], [(0, 0.9), (300, 0.29)]).is_sufficient


@pytest.mark.parametrize(
    ("recall", "new", "sufficient"), [(0.98, 0.02, True), (0.979, 0.0, False), (1.0, 0.021, False)]
)
def test_what_is_sufficient(recall: float, new: float, sufficient: bool) -> None:
    assert Fidelity(32, 50, recall, new).is_sufficient is sufficient


def test_too_few_plates_or_photos_are_refused() -> None:
    with pytest.raises(ModelError, match="too few"):
        measure_fidelity(Fixed(), Fixed(), [np.zeros((64, 640, 3), np.uint8)])
    with pytest.raises(ModelError, match="at least 64"):
        split([Path("a.jpg")] * (MIN_PHOTOS - 1))


def test_photos_either_calibrate_or_judge() -> None:
    for count in (MIN_PHOTOS, 601, 2000):
        paths = [Path(f"{number}.jpg") for number in range(count)]
        calibration, judging = split(paths)
        assert sorted(calibration + judging) == sorted(paths)
        assert len(calibration) == min(MAX_CALIBRATION_PHOTOS, count // 2)


@pytest.mark.parametrize("options", [["--format", "onnx", "--images", "."], []])
def test_int8_needs_openvino_and_photos(options: list[str]) -> None:
    run = CliRunner().invoke(app, ["export", "--int8", *options])
    assert run.exit_code == 2
    assert "--int8" in run.output
