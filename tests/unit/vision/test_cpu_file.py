"""Which file a CPU runs for a checkpoint: the export beside it, if it was made from it."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from consumer.errors import ModelError
from consumer.vision.detect.backends.base import Precision
from consumer.vision.detect.backends.exported import KEY, Label
from consumer.vision.detect.heads import Head
from consumer.vision.detect.no_telemetry import import_openvino
from consumer.vision.networks import cpu_file

SHIPPED = Path(__file__).parents[3] / "models" / "plate-obb.pt"
CONTENT = b"a checkpoint"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "best.pt"
    path.write_bytes(CONTENT)
    return path


def write_export(path: Path, source: bytes = CONTENT) -> Path:
    """Write the smallest OpenVINO file with the label of an export of ``source``."""
    openvino = import_openvino()
    from openvino import opset13

    images = opset13.parameter([-1, -1, -1, 3], np.uint8)
    model = openvino.Model([opset13.result(images)], [images])
    label = Label(Head("OBB", 1, 16, (8, 16, 32)), {0: "plate"}, 640, digest(source))
    model.set_rt_info(label.as_json(), KEY)
    openvino.save_model(model, path)
    return path


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("precision", ["auto", "float32", "bfloat16"])
def test_int8_runs_where_bfloat16_is_slow_and_no_precision_is_asked_for(
    checkpoint: Path, precision: Precision, *, fast: bool
) -> None:
    for suffix in ("-int8.xml", ".xml"):
        write_export(checkpoint.with_name(checkpoint.stem + suffix))
    name = "best-int8.xml" if precision == "auto" and not fast else "best.xml"
    assert cpu_file(checkpoint, precision, fast_bfloat16=fast) == checkpoint.with_name(name)


@pytest.mark.parametrize(
    ("exported", "precision", "expected"),
    [
        ("best.xml", "auto", "best.xml"),
        ("best-int8.xml", "float32", "best.pt"),
        ("other.xml", "auto", "best.pt"),
        ("best.onnx", "auto", "best.pt"),
    ],
)
def test_another_file_runs_where_the_fitting_export_is_missing(
    checkpoint: Path, exported: str, precision: Precision, expected: str
) -> None:
    write_export(checkpoint.with_name(exported).with_suffix(".xml")).rename(
        checkpoint.with_name(exported)
    )
    assert cpu_file(checkpoint, precision, fast_bfloat16=False) == checkpoint.with_name(expected)


def test_the_checkpoint_runs_without_an_export(checkpoint: Path) -> None:
    assert cpu_file(checkpoint, "auto", fast_bfloat16=False) == checkpoint


def test_an_export_needs_no_checkpoint(checkpoint: Path) -> None:
    exported = write_export(checkpoint.with_suffix(".xml"))
    checkpoint.unlink()
    assert cpu_file(checkpoint, "auto", fast_bfloat16=False) == exported


def test_an_export_of_another_checkpoint_is_refused(checkpoint: Path) -> None:
    exported = write_export(checkpoint.with_name("best-int8.xml"), source=b"an earlier one")
    with pytest.raises(ModelError) as refused:
        cpu_file(checkpoint, "auto", fast_bfloat16=False)
    assert str(refused.value) == (
        f"{exported} was exported from another checkpoint than {checkpoint}: run `plate-detect"
        " export` again, or delete it"
    )


def test_a_damaged_export_is_refused(checkpoint: Path) -> None:
    checkpoint.with_suffix(".xml").write_text("<net")
    with pytest.raises(ModelError, match=r"best\.xml: OpenVINO cannot read it"):
        cpu_file(checkpoint, "auto", fast_bfloat16=False)


@pytest.mark.parametrize("suffix", [".xml", ".onnx"])
def test_a_named_export_runs_itself(checkpoint: Path, suffix: str) -> None:
    write_export(checkpoint.with_name("best-int8.xml"))
    assert cpu_file(
        checkpoint.with_suffix(suffix), "auto", fast_bfloat16=False
    ) == checkpoint.with_suffix(suffix)


@pytest.mark.parametrize(
    ("precision", "name"), [("auto", "plate-obb-int8.xml"), ("float32", "plate-obb.xml")]
)
def test_the_shipped_exports_belong_to_the_shipped_checkpoint(
    precision: Precision, name: str
) -> None:
    assert cpu_file(SHIPPED, precision, fast_bfloat16=False) == SHIPPED.with_name(name)
