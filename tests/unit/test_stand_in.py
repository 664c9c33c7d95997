"""The stand-in covers images whole and is chosen by its name; poison ends the process."""

import hashlib
import io
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from consumer.vision.cover.cover import FILL
from consumer.vision.finding import CoverOptions, FindOptions, cover_plates
from consumer.vision.image.decoder import decode
from consumer.vision.networks import Networks
from consumer.vision.steps import run_steps
from tests.support.service import ROOT, role_arguments
from tests.support.stand_in import POISON_VARIABLE, StandInDetector, chosen_stand_in

OPTIONS = CoverOptions(
    find=FindOptions(640, "auto", corners=False), confidence=0.3, stub=None, padding=0.0,
    max_pixels=10**8, webp_quality=100, webp_method=0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (3, 900), (64, 48), (641, 479), (3000, 2001)]
)
def test_every_pixel_of_an_image_is_covered(width: int, height: int) -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG", compress_level=1)
    covered = run_steps(cover_plates(file.getvalue(), OPTIONS), Networks(StandInDetector()).run)
    result = decode(covered.webp, max_pixels=10**8).rgb
    assert np.abs(result.astype(int) - FILL).max() <= 2


def test_half_of_an_image_is_covered() -> None:
    rgb = np.zeros((96, 128, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "PNG")
    half = chosen_stand_in("stand-in:0:half")
    assert half is not None
    covered = run_steps(cover_plates(file.getvalue(), OPTIONS), Networks(half).run)
    result = decode(covered.webp, max_pixels=10**8).rgb.astype(int)
    assert np.abs(result[:, :56] - FILL).max() <= 6
    assert result[:, 72:].max() <= 6


def test_its_name_starts_a_worker_of_its_own() -> None:
    chosen = chosen_stand_in("stand-in:20")
    assert chosen is not None
    assert chosen.name == "stand-in:20"
    for name in ("", "plate-obb.pt", "stand-in", "stand-in:", "stand-in:x", "a-stand-in:5"):
        assert chosen_stand_in(name) is None
    arguments = role_arguments("worker", {"MODEL_PATH": "stand-in:20"})
    assert arguments == ["-m", "tests.support.worker"]
    assert role_arguments("worker", {}) == ["-m", "consumer", "worker"]


def test_each_version_has_a_digest_of_its_own() -> None:
    names = ("stand-in:20:half", "stand-in:20:half:v1", "stand-in:20:half:v2")
    chosen = [one for one in map(chosen_stand_in, names) if one is not None]
    assert len({one.digest for one in chosen}) == len(names)


@pytest.mark.parametrize("data", ["poison", "harmless"])
def test_poison_ends_the_process_and_nothing_else_does(data: str) -> None:
    program = "import sys; from tests.support.stand_in import die_of_poison as die;"
    program += "die(sys.argv[1].encode())"
    digests = f"ff,{hashlib.sha256(b'poison').hexdigest()}"
    done = subprocess.run(
        [sys.executable, "-c", program, data], cwd=ROOT, timeout=30, check=False,
        env={**os.environ, POISON_VARIABLE: digests},
    )  # fmt: skip
    assert done.returncode == (-signal.SIGKILL if data == "poison" else 0)
