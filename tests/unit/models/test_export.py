"""An export that fails leaves the file that is in use as it was, and says what was wrong."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from models.export.files import comparison_inputs, detector_input, export, replaced
from models.export.int8 import split
from models.export.parity import ParityError, check_parity
from tests.unit.models.detectors import Fixed
from tests.unit.vision.networks import write

INPUTS = [np.zeros((64, 640, 3), np.uint8)] * 2


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that was made for 160 px."""
    return write(tmp_path_factory.mktemp("small") / "small.pt")


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


def write_animated(path: Path) -> Path:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(path, "WEBP", save_all=True, append_images=frames[1:])
    return path


def test_an_unusable_photo_is_named_in_one_line(small: Path, in_use: Path, tmp_path: Path) -> None:
    photo = write_animated(tmp_path / "moving.webp")
    run = CliRunner(env={"DETECT_IMGSZ": "160"}).invoke(
        app, ["export", "--model", str(small), "--output", str(in_use), "--images", str(tmp_path)]
    )
    assert untouched(in_use)
    assert run.exit_code == 1, run.exception
    assert len(run.output.strip().splitlines()) == 1
    assert str(photo) in run.output
    assert "animated" in run.output


def test_an_unusable_photo_is_named_for_int8_too(small: Path, in_use: Path, tmp_path: Path) -> None:
    photos = [tmp_path / f"{number:02}.png" for number in range(99)]
    for photo in photos:
        cv2.imwrite(str(photo), np.zeros((32, 32, 3), np.uint8))
    calibration, _ = split(photos)
    write_animated(calibration[-1])
    run = CliRunner().invoke(
        app,
        ["export", "--model", str(small), "--output", str(in_use), "--int8",
         "--images", str(tmp_path)],
    )  # fmt: skip
    assert untouched(in_use)
    assert run.exit_code == 1, run.exception
    assert str(calibration[-1]) in run.output


def test_an_interrupted_export_changes_nothing(in_use: Path) -> None:
    def interrupted() -> None:
        with replaced(in_use) as draft:
            draft.write_text("half")
            draft.with_suffix(".bin").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert untouched(in_use)


def test_an_export_replaces_the_file_in_use(small: Path, in_use: Path) -> None:
    weights = in_use.with_suffix(".bin")
    with in_use.open("rb") as graph, weights.open("rb") as numbers:
        found = export(small, in_use, "openvino", None, 160)
        assert found.plates > 8
        # A process that has the old files open, as a running worker does, keeps them.
        assert (graph.read(), numbers.read()) == (b"in use .xml", b"in use .bin")
    assert sorted(in_use.parent.iterdir()) == [weights, in_use]
    assert weights.stat().st_size > 1 << 16
    assert oct(in_use.stat().st_mode & 0o700) == oct(0o600)


def test_an_export_is_compared_at_the_worker_s_size_and_makes_its_folder(
    small: Path, tmp_path: Path
) -> None:
    output = tmp_path / "new" / "m.onnx"
    run = CliRunner(env={"DETECT_IMGSZ": "320"}).invoke(
        app, ["export", "--model", str(small), "--format", "onnx", "--output", str(output)]
    )
    assert run.exit_code == 0, run.output
    assert list(output.parent.iterdir()) == [output]
    [line] = run.stderr.splitlines()
    assert all(text in line for text in ("small.pt", "160 px", "320 px"))


def test_drawn_scenes_and_photos_are_scaled_to_the_size(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wide.png"), np.zeros((32, 48, 3), np.uint8))
    inputs = list(comparison_inputs(tmp_path, 320))
    assert len(inputs) == 9
    assert {max(pixels.shape[:2]) for pixels in inputs} == {320}
    assert detector_input(tmp_path / "wide.png", 96).shape == (64, 96, 3)


def test_parity_is_the_largest_difference_of_certain_plates() -> None:
    ours = Fixed((0, 0.9), (300, 0.5), (500, 0.24))
    found = check_parity(ours, Fixed((0.5, 0.9), (300, 0.505)), INPUTS)
    assert (found.images, found.plates) == (2, 8)
    assert (found.pixels, found.score) == pytest.approx((0.5, 0.005))


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        (Fixed((1.5, 0.9)), "1.50 px"),
        (Fixed((0, 0.85)), "0.050"),
        (Fixed((0, 0.9), (300, 0.3)), "300.00 px"),
        (Fixed(), "scores by up to 1.000"),
    ],
)
def test_other_plates_are_refused(theirs: Fixed, reason: str) -> None:
    with pytest.raises(ParityError, match=reason):
        check_parity(Fixed((0, 0.9)), theirs, INPUTS)
    with pytest.raises(ParityError, match=reason):
        check_parity(theirs, Fixed((0, 0.9)), INPUTS)


def test_parity_needs_a_plate() -> None:
    with pytest.raises(ParityError, match="no plate was found"):
        check_parity(Fixed((0, 0.2)), Fixed(), INPUTS)
