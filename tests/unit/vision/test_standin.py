"""The stand-in of tests covers everything, and is chosen by nothing but its name."""

import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from consumer.vision.cover import FILL, cover
from consumer.vision.margins import cover_quads
from consumer.vision.merge import merge
from consumer.vision.standin import Poison, chosen_standin
from consumer.vision.tiling import views

PROJECT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (3, 900), (64, 48), (641, 479), (3000, 2001)]
)
def test_every_pixel_of_an_image_is_covered(width: int, height: int) -> None:
    standin = chosen_standin(Path("stand-in:0"))
    assert standin is not None
    rgb = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    seen = list(views(rgb, imgsz=640, tiling="auto"))
    answers = [standin.detect(view.pixels[None])[0] for view in seen]
    found = merge(seen, answers)
    cover(rgb, cover_quads(found, 0.0), stub=None)
    assert (rgb == np.array(FILL, np.uint8)).all()


@pytest.mark.parametrize(
    "name", ["plate-obb.pt", "stand-in", "stand-in:", "stand-in:x", "a-stand-in:5"]
)
def test_other_names_are_model_files(name: str) -> None:
    assert chosen_standin(Path(name)) is None


def test_a_file_of_that_name_is_a_model_file(tmp_path: Path) -> None:
    path = tmp_path / "stand-in:5"
    assert chosen_standin(path) is not None
    path.write_bytes(b"")
    assert chosen_standin(path) is None


def test_poison_kills_and_nothing_else_does() -> None:
    Poison(hashlib.sha256(b"poison").hexdigest()).swallow(b"harmless")
    Poison("").swallow(b"")
    program = (
        "import hashlib; from consumer.vision.standin import Poison;"
        "Poison('ff,' + hashlib.sha256(b'poison').hexdigest()).swallow(b'poison')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, timeout=30, check=False)
    assert done.returncode == -signal.SIGKILL
