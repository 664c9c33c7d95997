"""The benchmark runs to its end and its figures hang together; what they are is not for a test."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pictures import scene_file
from tests.support.service import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(240)]


def bench(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli", "bench", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=220, check=False,
    )  # fmt: skip


def test_a_folder_beside_the_naive_service(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(3):
        (images / f"{seed}.jpg").write_bytes(scene_file(seed, width=480))
    done = bench(
        "--images", str(images), "--rounds", "1", "--tiling", "off",
        "--baseline", "tests/bench/naive.py", "--out", str(tmp_path / "out"), folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "bench.json").read_text())
    [one] = report["sets"]
    figures = one["figures"]
    assert figures["rate"] > 0
    assert figures["publish_rate"] > 0
    assert 0.8 < figures["bytes_out"] / one["naive"]["bytes_out"] < 1.2
    assert set(one["stage_costs"]) == {"busy", "idle"}
    # The same covers left out on both sides, the same quality asked of both encoders.
    assert 0.8 < figures["ssim"] <= 1
    assert abs(figures["ssim"] - one["naive"]["ssim"]) < 0.02
    assert 0 < one["efficiency"] < 1.5
    assert one["idle_over_stages"] > 0.8
    assert figures["peak_bytes"]["worker"] > 50 << 20
    assert sum(figures["stage_cores"].values()) <= report["cores"] * 2
    assert (tmp_path / "out" / "bench.png").stat().st_size > 5000
    assert "images/s" in done.stdout


def test_a_folder_without_images_is_told_in_one_line(tmp_path: Path) -> None:
    done = bench("--images", str(tmp_path), folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("plate-detect: ")
    assert "holds no .jpg" in done.stderr


def test_a_set_that_is_not_drawn_is_told_in_one_line(tmp_path: Path) -> None:
    done = bench("--size", "640", "--size", "1280", folder=tmp_path)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("plate-detect: no set of pictures is called 1280; there are 640, 1920")


def test_a_missing_folder_is_told_in_one_line(tmp_path: Path) -> None:
    done = bench("--images", str(tmp_path / "none"), folder=tmp_path)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("plate-detect: ")
    assert line.endswith(f"'{tmp_path / 'none'}'")
