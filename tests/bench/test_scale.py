"""The measurement of growth runs to its end, and eight workers do about eight times one's work."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service import ROOT

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(240)]


def test_eight_workers_come_near_ideal(tmp_path: Path) -> None:
    out = tmp_path / "scale.json"
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.bench.scale", "--quick", "--points", "1,8",
            "--at-least", "0", "--out", str(out),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=220, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads(out.read_text())
    one, eight = figures["points"]
    for point in (one, eight, figures["deep"]):
        assert 0.6 <= point["share_of_ideal"] < 1.15, point
        assert 0 < point["redis_cpu"] < 0.05, point
        assert 0 < point["workers_cpu"] < 0.2, point
        # Read, begin, finish, and a share of what a worker asks for every now and then.
        assert 2 <= point["round_trips"] < 6, point
    shallow, deep = figures["steps"]
    assert deep["queued"] >= 5 * shallow["queued"]
    for step in ("begin", "finish"):
        assert 0 < deep["server_microseconds"][step] < 5 * shallow["server_microseconds"][step]
    assert all(weight["memory"] - weight["inline_bytes"] > 100 for weight in figures["weights"])
    assert all(rate["images_per_second"] > 20 for rate in figures["submits"])
    assert "How many GPUs does one Redis carry?" in done.stdout
