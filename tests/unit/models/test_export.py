"""An export that fails leaves the file that is in use as it was, and says what was wrong."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from consumer.vision.obb import Detections
from models import export

CHECKPOINT = Path(__file__).parents[3] / "models" / "plate-obb.pt"


@pytest.fixture
def in_use(tmp_path: Path) -> Path:
    """An exported file with its weights, alone in its folder."""
    folder = tmp_path / "in use"
    folder.mkdir()
    for suffix in (".xml", ".bin"):
        (folder / f"m{suffix}").write_text(f"in use {suffix}")
    return folder / "m.xml"


def untouched(path: Path) -> bool:
    texts = {file.name: file.read_text() for file in path.parent.iterdir()}
    return texts == {"m.xml": "in use .xml", "m.bin": "in use .bin"}


def photos(folder: Path) -> Path:
    """Return a folder with a picture in it that cannot be used."""
    folder.mkdir()
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:])
    return folder


def test_an_unusable_picture_is_named_in_one_line(in_use: Path, tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    run = CliRunner().invoke(
        app, ["export", "--model", str(CHECKPOINT), "--output", str(in_use),
              "--images", str(folder)],
    )  # fmt: skip
    assert untouched(in_use)
    assert run.exit_code == 1, run.exception
    assert len(run.output.strip().splitlines()) == 1
    assert str(folder / "moving.webp") in run.output
    assert "animated" in run.output


def test_an_unusable_picture_is_named_for_int8_too(
    in_use: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photos(tmp_path / "photos")
    for number in range(99):
        cv2.imwrite(str(folder / f"{number}.png"), np.zeros((32, 32, 3), np.uint8))
    monkeypatch.setattr(export, "export", lambda *_arguments: None)
    monkeypatch.setattr(export, "quantize", lambda *_arguments: None)
    monkeypatch.setattr(export, "load_detector", lambda *_arguments, **_options: Detector())
    run = CliRunner().invoke(
        app, ["export", "--model", str(CHECKPOINT), "--output", str(in_use), "--int8",
              "--images", str(folder)],
    )  # fmt: skip
    assert untouched(in_use)
    assert run.exit_code == 1, run.exception
    assert str(folder / "moving.webp") in run.output


class Detector:
    """Sees nothing."""

    imgsz = 640

    def detect(self, batch: np.ndarray) -> list[Detections]:
        none = np.zeros((0, 4, 2), np.float32)
        return [Detections.exact(none, np.zeros(0, np.float32)) for _ in batch]


def test_an_export_that_is_broken_off_changes_nothing(
    in_use: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(_checkpoint: Path, output: Path, _form: str) -> None:
        output.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "_write", write)
    with pytest.raises(KeyboardInterrupt):
        export.export(CHECKPOINT, in_use, "openvino", None)
    assert untouched(in_use)


def test_an_export_takes_the_place_of_the_file_in_use(in_use: Path) -> None:
    weights = in_use.with_suffix(".bin")
    with in_use.open("rb") as graph, weights.open("rb") as numbers:
        export.export(CHECKPOINT, in_use, "openvino", None)
        # Whoever has the old ones open, as a running worker has its weights, keeps them.
        assert (graph.read(), numbers.read()) == (b"in use .xml", b"in use .bin")
    assert sorted(in_use.parent.iterdir()) == [weights, in_use]
    assert weights.stat().st_size > 1 << 20
    assert oct(in_use.stat().st_mode & 0o700) == oct(0o600)


def test_the_folder_of_the_output_is_made(tmp_path: Path) -> None:
    output = tmp_path / "new" / "m.onnx"
    export.export(CHECKPOINT, output, "onnx", None)
    assert list(output.parent.iterdir()) == [output]
