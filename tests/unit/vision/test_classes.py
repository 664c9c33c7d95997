"""The classes to cover: those named, or all; an unknown one is refused."""

from pathlib import Path

import numpy as np
import pytest

from consumer.errors import ModelError
from consumer.vision.detect.backends import pytorch
from consumer.vision.detect.detector import NetworkDetector, load_detector
from consumer.vision.detect.heads import chosen_classes
from consumer.vision.detect.obb import detections
from tests.unit.vision.networks import pictures, write

NAMES = {0: "Plate", 1: "car", 2: "7", 7: "two words", 8: "CAR"}


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        ((), [0, 1, 2, 7, 8]),
        (("plate",), [0]),
        (("car", "Plate"), [0, 1, 8]),
        (("0", "plate"), [0]),
        (("7",), [2]),  # a name counts before an id
        (("8", "two words"), [7, 8]),
    ],
)
def test_names_and_ids(wanted: tuple[str, ...], ids: list[int]) -> None:
    assert chosen_classes(wanted, NAMES) == ids


@pytest.mark.parametrize("unknown", ["lorry", "3", "-1", "0.0", "", "²"])
def test_an_unknown_class_is_refused_with_those_there_are(unknown: str) -> None:
    with pytest.raises(ModelError, match=r"no class .*0 Plate, 1 car, 2 7, 7 two words, 8 CAR"):
        chosen_classes(("plate", unknown), NAMES)


@pytest.mark.parametrize("head", ["OBB", "Detect"])
def test_only_the_chosen_classes_are_detected(tmp_path: Path, head: str) -> None:
    path = write(tmp_path / "m.pt", head, classes=3)
    batch = pictures(2)

    def load(*classes: str) -> NetworkDetector:
        return load_detector(path, device="cpu", confidence=0.26, max_batch=2, classes=classes)

    network = pytorch.load(path, "cpu", "float32", threads=0)
    chosen, one = load("kind 0", "2"), load("KIND 1")
    for image, found, only in zip(batch, chosen.detect(batch), one.detect(batch), strict=True):
        raw = network.forward(image[None])[0]
        for unwanted, got in (((1,), found), ((0, 2), only)):
            decoded = network.head.decode(raw, *image.shape[:2], 0.26, unwanted)
            expected = detections(decoded, iou=0.5)
            assert len(got.scores) == len(expected.scores) > 0
            assert np.allclose(got.scores, expected.scores, atol=1e-3)
            assert np.allclose(got.quads, expected.quads, atol=0.5)
        assert len(only.scores) != len(found.scores)


def test_a_detector_without_the_class_is_not_loaded(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pt", classes=2)
    with pytest.raises(ModelError, match="no class 'plate', but: 0 kind 0, 1 kind 1"):
        load_detector(path, device="cpu", confidence=0.3, max_batch=1, classes=("plate",))
