"""INT8: the plates that the checkpoint finds are covered, on photographs not calibrated with."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from cli.main import app
from consumer.errors import ModelError
from consumer.vision.detector import load_detector
from consumer.vision.letterbox import letterbox
from consumer.vision.obb import Detections
from models import export, quantize
from models.parity import ParityError
from models.quantize import LEAST_PHOTOS, LEAST_PLATES, Fidelity, compare, split
from models.scenes import draw_scene

CHECKPOINT = Path(__file__).parents[3] / "models" / "plate-obb.pt"
Found = Sequence[tuple[float, float]]


class Scripted:
    """Finds plates 100 x 25 px at the given (x, score), whatever it is shown."""

    def __init__(self, *plates: tuple[float, float]) -> None:
        corners = ((0, 0), (100, 0), (100, 25), (0, 25))
        quads = [[(x + dx, 50 + dy) for dx, dy in corners] for x, _ in plates]
        scores = np.array([score for _, score in plates], np.float32)
        self._found = Detections.exact(np.array(quads, np.float32).reshape(-1, 4, 2), scores)

    def detect(self, batch: NDArray[np.uint8], *, alone: bool = False) -> list[Detections]:
        return [self._found for _ in batch]


def fidelity(ours: Found, theirs: Found) -> Fidelity:
    inputs = [np.zeros((64, 640, 3), np.uint8)] * LEAST_PLATES
    return compare(Scripted(*ours), Scripted(*theirs), inputs)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(LEAST_PHOTOS):
        rgb = draw_scene(np.random.default_rng(seed), 480, 320, plates=1 + seed % 3).rgb
        cv2.imwrite(str(folder / f"{seed}.jpg"), rgb[..., ::-1])
    return folder


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_int8_covers_what_the_checkpoint_finds(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "int8.xml"
    run = CliRunner().invoke(
        app, ["export", "--int8", "--images", str(photos), "--model", str(CHECKPOINT),
              "--output", str(output)],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    assert "% of the" in run.output
    assert output.with_suffix(".bin").stat().st_size < 0.6 * CHECKPOINT.stat().st_size
    exact = load_detector(CHECKPOINT, device="cpu", confidence=0.3, max_batch=1)
    fast = load_detector(output, device="cpu", confidence=0.3, max_batch=1, precision="auto")
    rgb = draw_scene(np.random.default_rng(99), 640, 480).rgb
    pixels = letterbox(rgb, 640).pixels[None]
    [expected], [found] = exact.detect(pixels), fast.detect(pixels)
    assert len(expected.quads) == len(found.quads) == 1
    assert np.abs(expected.quads - found.quads).max() < 4


def test_what_covers_too_little_is_not_kept(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(path: Path, output: Path, _inputs: object) -> None:
        export.export(CHECKPOINT, output, "openvino", None)
        monkeypatch.setattr(export, "compare", lambda *_: Fidelity(32, 50, 0.979, 0.0))

    monkeypatch.setattr(export, "quantize", blind)
    earlier = tmp_path / "m.xml"
    earlier.write_text("in use")
    with pytest.raises(ParityError, match=r"97\.9% of the checkpoint's 50 plates"):
        export.export_int8(CHECKPOINT, earlier, photos)
    assert list(tmp_path.iterdir()) == [earlier]
    assert earlier.read_text() == "in use"


def test_fidelity_counts_plates_hidden_and_covers_of_nothing() -> None:
    assert fidelity([(0, 0.9)], [(0, 0.4)]) == Fidelity(LEAST_PLATES, LEAST_PLATES, 1.0, 0.0)
    assert fidelity([(0, 0.9)], [(0, 0.29)]).recall == 0
    assert fidelity([(0, 0.9)], [(20, 0.9)]).recall == 0
    assert fidelity([(0, 0.9), (200, 0.3)], [(0, 0.9)]).recall == 0.5
    assert fidelity([(0, 0.9)], [(0, 0.9), (300, 0.5)]).new == 1
    assert fidelity([(0, 0.9), (300, 0.1)], [(0, 0.9), (300, 0.5)]).new == 0
    assert fidelity([(0, 0.9)], [(0, 0.9), (300, 0.29)]).holds


def test_too_little_to_judge_by_is_refused() -> None:
    with pytest.raises(ModelError, match="too few"):
        compare(Scripted(), Scripted(), [np.zeros((64, 640, 3), np.uint8)])  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="at least 64"):
        split([Path("a.jpg")] * (LEAST_PHOTOS - 1))


def test_photographs_judge_or_calibrate_but_not_both() -> None:
    for count in (LEAST_PHOTOS, 601, 2000):
        paths = [Path(f"{number}.jpg") for number in range(count)]
        calibration, judging = split(paths)
        assert sorted(calibration + judging) == sorted(paths)
        assert len(calibration) == min(quantize.MOST_CALIBRATED, count // 2)


@pytest.mark.parametrize("options", [["--format", "onnx", "--images", "."], []])
def test_int8_needs_openvino_and_photographs(options: list[str]) -> None:
    run = CliRunner().invoke(app, ["export", "--int8", *options])
    assert run.exit_code == 2
    assert "--int8" in run.output
