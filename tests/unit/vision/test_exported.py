"""Exported files find the checkpoint's plates, without PyTorch; other files are refused."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from consumer.errors import ModelError
from consumer.vision.detect.detector import load_detector
from consumer.vision.image.scaling import Pyramid
from consumer.vision.views.letterbox import letterbox
from models.drawing.scenes import draw_scene
from models.export.files import FORMATS, SUFFIXES, Format, export
from tests.unit.vision.networks import pictures, write

pytestmark = pytest.mark.slow

REAL = Path(__file__).parents[3] / "models" / "plate-obb.pt"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("checkpoint") / "m.pt")


@pytest.fixture(scope="module", params=FORMATS)
def exported(
    request: pytest.FixtureRequest, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    form: Format = request.param
    path = tmp_path_factory.mktemp(form) / f"model{SUFFIXES[form]}"
    found = export(checkpoint, path, form, None, 320)
    assert found.plates >= 8
    assert found.pixels < 0.1
    assert found.score < 0.001
    return path


def test_finds_the_same_alone_and_in_a_batch_of_any_shape(checkpoint: Path, exported: Path) -> None:
    ours = load_detector(checkpoint, device="cpu", confidence=0.25, max_batch=4)
    theirs = load_detector(exported, device="cpu", confidence=0.25, max_batch=4)
    assert (theirs.name, theirs.imgsz) == (exported.name, ours.imgsz)
    assert theirs.digest != ours.digest
    for batch in (pictures(3, 192, 320), pictures(2, 320, 192), pictures(1, 512, 640)):
        together = theirs.detect(batch)
        for image, found, expected in zip(batch, together, ours.detect(batch), strict=True):
            [alone] = theirs.detect(image[None])
            for other in (alone, expected):
                assert len(found.scores) == len(other.scores)
                assert np.abs(found.scores - other.scores).max(initial=0) <= 0.001
                # Scores that are all but equal may change places.
                gaps = np.abs(found.quads[:, None] - other.quads[None]).max(axis=(2, 3))
                assert gaps.min(axis=1, initial=np.inf).max(initial=0) <= 0.5
        assert any(len(found.scores) for found in together)


def test_openvino_finds_the_same_plates_in_the_precision_of_the_cpu(tmp_path: Path) -> None:
    path = tmp_path / "m.xml"
    assert export(REAL, path, "openvino", None).plates >= 8
    exact = load_detector(path, device="cpu", confidence=0.5, max_batch=1)
    fast = load_detector(path, device="cpu", confidence=0.4, max_batch=1, precision="auto")
    for seed in range(2):
        rgb = draw_scene(np.random.default_rng(20 + seed), 640, 448, 2).rgb
        pixels = letterbox(Pyramid(rgb), 640).pixels[None]
        [expected], [found] = exact.detect(pixels), fast.detect(pixels)
        assert len(expected.quads)
        for quad in expected.quads:
            assert np.abs(found.quads - quad).max(axis=(1, 2)).min() < 8


def test_runs_without_pytorch(exported: Path) -> None:
    code = f"""
import sys
from pathlib import Path
import numpy as np
from consumer.vision.detect.detector import load_detector
found = load_detector(Path({str(exported)!r}), device="cpu", confidence=0.25, max_batch=1)
found.detect(np.zeros((1, 64, 64, 3), np.uint8))
assert "torch" not in sys.modules and "ultralytics" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_an_unknown_class_is_refused(exported: Path) -> None:
    with pytest.raises(ModelError, match="no class 'lorry', but: 0 kind 0"):
        load_detector(exported, device="cpu", confidence=0.3, max_batch=1, classes=("lorry",))


@pytest.mark.parametrize("name", ["m.onnx", "m.xml"])
@pytest.mark.parametrize("content", [None, b"", b"no model", b"<net/>"])
def test_other_files_are_refused_in_one_line(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
        path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        load_detector(path, device="cpu", confidence=0.3, max_batch=1)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_onnx_file_of_another_program_is_refused(tmp_path: Path) -> None:
    import onnx

    node = onnx.helper.make_node("Identity", ["images"], ["raw"])
    shape = [1, 64, 64, 3]
    graph = onnx.helper.make_graph(
        [node],
        "other",
        [onnx.helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, shape)],
        [onnx.helper.make_tensor_value_info("raw", onnx.TensorProto.UINT8, shape)],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    model.ir_version = 10
    path = tmp_path / "other.onnx"
    onnx.save(model, path)
    with pytest.raises(ModelError, match="not written by `plate-detect export`"):
        load_detector(path, device="cpu", confidence=0.3, max_batch=1)


def test_a_device_that_the_runtime_lacks_is_refused(exported: Path) -> None:
    expected = {".xml": "OpenVINO runs on the CPU", ".onnx": "onnxruntime-gpu"}[exported.suffix]
    with pytest.raises(ModelError, match=expected):
        load_detector(exported, device="cuda", confidence=0.3, max_batch=1)
