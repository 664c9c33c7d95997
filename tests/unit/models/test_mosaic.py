"""Mosaics: reproducible, their labels lie where the plates are, kinds of labels are kept apart."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from models.dataset import read_folder
from models.mosaic import kinds, main

GREEN = (0, 255, 0)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Grey images whose plates are green: upright, tilted, none."""
    folder = tmp_path / "data"
    for part in ("images", "labels"):
        (folder / part / "val").mkdir(parents=True)
    upright = np.array([(200, 100), (300, 100), (300, 130), (200, 130)], np.float32)
    tilted = np.array([(200, 100), (300, 120), (294, 150), (194, 130)], np.float32)
    for source, quad in (("flat", upright), ("turned", tilted), ("empty", None)):
        for index in range(3):
            image = np.full((400, 500, 3), 90 + index, np.uint8)
            line = ""
            if quad is not None:
                cv2.fillConvexPoly(image, quad.astype(np.int32), GREEN)
                line = "0 " + " ".join(map(str, (quad / (500, 400)).ravel()))
            cv2.imwrite(str(folder / f"images/val/{source}_{index}.png"), image)
            (folder / f"labels/val/{source}_{index}.txt").write_text(line)
    return folder


def make(dataset: Path, out: Path, seed: int = 0) -> Path:
    main([str(dataset), "--out", str(out), "--count", "5", "--seed", str(seed),
          "--size", "1500", "1200"])  # fmt: skip
    return out


def test_labels_lie_on_the_plates_and_nothing_else_is_one(dataset: Path, tmp_path: Path) -> None:
    items = read_folder(make(dataset, tmp_path / "out"), "val")
    plates = 0
    for item in items:
        rgb = cv2.imread(str(item.image))
        assert rgb.shape == (1200, 1500, 3)
        green = (rgb[..., 1] > 180) & (rgb[..., 0] < 100)
        labelled = np.zeros(green.shape, np.uint8)
        for quad in item.quads * (1500, 1200):
            cv2.fillConvexPoly(labelled, np.rint(quad).astype(np.int32), 1)
        plates += len(item.quads)
        assert (green != (labelled == 1)).sum() <= 0.15 * max(1, green.sum())
        assert bool(green.any()) == bool(len(item.quads))
    assert plates > 5


def test_the_file_name_has_the_kind(dataset: Path, tmp_path: Path) -> None:
    items = read_folder(make(dataset, tmp_path / "out"), "val")
    kinds_found = {item.source: (item.oriented, bool(len(item.quads))) for item in items}
    assert kinds_found == {
        "street_upright": (False, True),
        "street_oriented": (True, True),
        "street_negative": (False, False),
    }


def test_same_seed_same_images(dataset: Path, tmp_path: Path) -> None:
    one, same, other = (
        make(dataset, tmp_path / name, seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    for path in (one / "images/val").iterdir():
        assert path.read_bytes() == (same / "images/val" / path.name).read_bytes()
    label = "labels/val/street_upright_0000.txt"
    assert (one / label).read_text() != (other / label).read_text()


def test_sources_can_be_left_out(dataset: Path) -> None:
    groups = kinds(read_folder(dataset, "val"), ["turned"])
    assert {kind: len(items) for kind, items in groups.items()} == {
        "upright": 3, "oriented": 0, "negative": 3,
    }  # fmt: skip


def test_a_folder_without_negatives_is_refused(dataset: Path, tmp_path: Path) -> None:
    for label in (dataset / "labels/val").glob("empty*"):
        label.unlink()
    with pytest.raises(SystemExit):
        make(dataset, tmp_path / "out")
