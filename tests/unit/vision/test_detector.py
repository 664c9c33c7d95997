"""The detector: same plates in any batch, clear errors, and never a silent nothing."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from consumer.errors import ModelError
from consumer.vision.detect.backends import pytorch
from consumer.vision.detect.checkpoint import build_network, load_checkpoint
from consumer.vision.detect.detector import NetworkDetector, load_detector
from consumer.vision.detect.heads import Decoded
from consumer.vision.detect.obb import Detections
from tests.unit.vision.networks import CONFIGS, pictures, write

CONFIDENCE = 0.262


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / "small.pt")


@pytest.fixture(scope="module")
def detector(model_file: Path) -> NetworkDetector:
    return load_detector(model_file, device="cpu", confidence=CONFIDENCE, max_batch=8)


def every_anchor(detector: NetworkDetector, batch: NDArray[np.uint8]) -> list[Decoded]:
    """Boxes and scores of all anchors, whatever they score."""
    raws = detector._checked(batch)
    return [detector._head.decode(raw, *batch.shape[1:3], 0.0) for raw in raws]


def torch_network(detector: NetworkDetector, model_file: Path) -> nn.Module:
    """Run the detector's network as a module: the graph has no hooks and constant weights."""
    network, _ = pytorch.raw_network(load_checkpoint(model_file))
    forward = pytorch._Forward(network, torch.device("cpu"), torch.float32, threads=0)
    detector._network = replace(detector._network, forward=forward)
    return network


def assert_same(one: Detections, other: Detections) -> None:
    assert len(one.scores) == len(other.scores) > 0
    assert np.abs(one.scores - other.scores).max() <= 0.001
    assert np.abs(one.quads - other.quads).max() <= 0.5


def test_describes_its_file(detector: NetworkDetector, model_file: Path) -> None:
    assert detector.name == "small.pt"
    assert detector.digest == hashlib.sha256(model_file.read_bytes()).hexdigest()
    assert (detector.imgsz, detector.stride) == (160, 32)


def test_the_same_image_gives_the_same_plates_in_any_batch(detector: NetworkDetector) -> None:
    batch = pictures()
    alone = [detector.detect(image[None])[0] for image in batch]
    assert len({len(found.scores) for found in alone}) > 1
    order = [3, 0, 4, 1, 2, 3]
    for index, found in zip(order, detector.detect(batch[order]), strict=True):
        assert_same(found, alone[index])


@pytest.mark.parametrize("head", CONFIGS)
def test_raw_output_does_not_depend_on_the_batch(head: str, tmp_path: Path) -> None:
    detector = load_detector(
        write(tmp_path / "m.pt", head, classes=2), device="cpu", confidence=0.3, max_batch=8
    )
    batch = pictures(3)
    for image, (boxes, scores) in zip(batch, every_anchor(detector, batch), strict=True):
        [(boxes_alone, scores_alone)] = every_anchor(detector, image[None])
        assert np.abs(boxes_alone - boxes)[:, :4].max() <= 0.5
        assert np.abs(boxes_alone - boxes)[:, 4].max() <= 0.001
        assert np.abs(scores_alone - scores).max() <= 0.001
    assert all(np.isfinite(found.quads).all() for found in detector.detect(batch))


def test_large_batches_are_cut(model_file: Path) -> None:
    detector = load_detector(model_file, device="cpu", confidence=CONFIDENCE, max_batch=2)
    sizes: list[int] = []
    forward = detector._network.forward

    def counted(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        sizes.append(len(batch))
        return forward(batch)

    detector._network = replace(detector._network, forward=counted)
    found = detector.detect(pictures())
    assert sizes == [2, 2, 1]
    assert_same(found[4], detector.detect(pictures()[4:])[0])


@pytest.mark.parametrize("head", CONFIGS)
def test_agrees_with_the_network_as_it_was_saved(head: str, tmp_path: Path) -> None:
    """Fusing, half precision on disk, channels_last and our decoding change next to nothing."""
    path = write(tmp_path / "m.pt", head, classes=2)
    detector = load_detector(path, device="cpu", confidence=0.3, max_batch=8)
    batch = pictures(2)
    with torch.inference_mode():
        planes = torch.from_numpy(batch.transpose(0, 3, 1, 2).copy()).float() / 255
        saved = build_network(load_checkpoint(path))
        expected = saved(planes)[0].numpy()
    for theirs, (boxes, scores) in zip(expected, every_anchor(detector, batch), strict=True):
        assert np.abs(boxes[:, :4] - theirs[:4].T).max() < 2
        assert np.abs(scores - theirs[4:6].max(axis=0)).max() < 0.01
        if head.startswith("OBB"):
            assert np.abs(boxes[:, 4] - theirs[6]).max() < 0.01


def test_the_network_sees_rgb_planes_from_0_to_1(model_file: Path) -> None:
    detector = load_detector(model_file, device="cpu", confidence=CONFIDENCE, max_batch=8)
    seen: list[torch.Tensor] = []
    torch_network(detector, model_file).register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    batch = pictures(2)
    detector.detect(batch)
    assert np.allclose(seen[0].numpy(), batch.transpose(0, 3, 1, 2) / 255, atol=1e-6)


def test_confidence_and_overlap_are_applied(model_file: Path) -> None:
    batch = pictures(2)

    def count(confidence: float, iou: float) -> int:
        detector = load_detector(
            model_file, device="cpu", confidence=confidence, iou=iou, max_batch=8
        )
        return sum(len(found.scores) for found in detector.detect(batch))

    assert count(0.24, 0.5) > count(0.27, 0.5) > count(0.99, 0.5) == 0
    assert count(0.25, 0.9) > count(0.25, 0.3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_output_that_is_not_finite_raises(model_file: Path, value: float) -> None:
    detector = load_detector(model_file, device="cpu", confidence=CONFIDENCE, max_batch=8)
    torch_network(detector, model_file).network.model[-1].cv2[0][-1].bias.data[3] = value  # type: ignore[union-attr,index]
    with pytest.raises(ModelError, match="finite"):
        detector.detect(pictures(1))


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, 64, 64, 3), np.float32),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((1, 3, 64, 64), np.uint8),
        np.zeros((1, 64, 65, 3), np.uint8),
    ],
)
def test_a_batch_of_the_wrong_kind_is_refused(
    detector: NetworkDetector, batch: NDArray[np.uint8]
) -> None:
    with pytest.raises(ValueError, match=r"expected uint8|multiples"):
        detector.detect(batch)


def test_an_empty_batch_has_no_results(detector: NetworkDetector) -> None:
    assert detector.detect(np.zeros((0, 64, 64, 3), np.uint8)) == []


def test_a_batch_that_is_a_view_is_read_right(detector: NetworkDetector) -> None:
    batch = pictures(2)
    mirrored = batch[:, :, ::-1]
    assert_same(detector.detect(mirrored)[1], detector.detect(mirrored.copy())[1])


@pytest.mark.parametrize("device", ["", "gpu", "meta", "mps", "cuda:x"])
def test_unknown_devices_are_refused(model_file: Path, device: str) -> None:
    with pytest.raises(ModelError, match="cpu, cuda or cuda:N"):
        load_detector(model_file, device=device, confidence=0.3, max_batch=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_that_is_not_there_is_refused(model_file: Path, device: str) -> None:
    with pytest.raises(ModelError, match="no CUDA device"):
        load_detector(model_file, device=device, confidence=0.3, max_batch=1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_cuda_agrees_with_the_cpu(model_file: Path, detector: NetworkDetector) -> None:
    on_gpu = load_detector(model_file, device="cuda", confidence=CONFIDENCE, max_batch=8)
    batch = pictures()
    for there, here in zip(every_anchor(on_gpu, batch), every_anchor(detector, batch), strict=True):
        assert np.abs(there[0] - here[0])[:, :4].max() < 4
        assert np.abs(there[1] - here[1]).max() < 0.02
    [alone], together = every_anchor(on_gpu, batch[2:3]), every_anchor(on_gpu, batch)[2]
    assert np.abs(alone[0] - together[0])[:, :4].max() <= 0.5
    assert np.abs(alone[1] - together[1]).max() <= 0.001


def test_runs_as_a_graph_that_needs_no_interpreter(detector: NetworkDetector) -> None:
    forward = detector._network.forward
    assert isinstance(forward, pytorch._Forward)
    assert isinstance(forward.run, torch.jit.ScriptModule)
