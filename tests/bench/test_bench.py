"""The benchmark runs to its end, and its figures are consistent; their size is not tested."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.bench.__main__ import app
from tests.support.pictures import scene_file
from tests.support.service import ROOT


@pytest.mark.acceptance
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_folder_beside_the_naive_service(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(3):
        (images / f"{seed}.jpg").write_bytes(scene_file(seed, width=480))
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.bench", "--images", str(images), "--rounds", "1",
            "--tiling", "off", "--baseline", "tests/bench/naive.py", "--out", str(tmp_path / "out"),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=220, check=False,
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


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--images", "{folder}"], "{folder} holds no .jpg, .jpeg, .png or .webp"),
        (["--images", "{folder}/none"], "[Errno 2] No such file or directory: '{folder}/none'"),
        (
            ["--size", "640", "--size", "1280"],
            "no set of images is called 1280; there are 640, 1920, 1920-grain, 4000",
        ),
    ],
)
def test_what_cannot_be_sent_is_one_line(arguments: list[str], line: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [text.format(folder=tmp_path) for text in arguments])
    assert done.exit_code == 1
    assert done.stderr == f"plate-detect: {line.format(folder=tmp_path)}\n"
