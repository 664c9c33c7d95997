"""Exported files are written, calibrated and loaded without a word to anybody's makers."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

# To a file, and not a list: what reports usage may do so from a process of its own.
WATCHED = """
import os, sys, time
from pathlib import Path
import numpy as np
log, folder = Path(sys.argv[1]), Path(sys.argv[2])
def watch(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect", "socket.sendto"):
        with log.open("a") as lines:
            lines.write(f"{event} {arguments}\\n")
sys.addaudithook(watch)
"""
EXPORT = """
from models.export import export
export(Path("models/plate-obb.pt"), folder / "m.xml", "openvino", None)
"""
QUANTIZE = """
from models.quantize import quantize
quantize(folder / "m.xml", folder / "fast.xml", [np.zeros((64, 64, 3), np.uint8)])
"""
LOAD = """
from consumer.vision.detector import load_detector
found = load_detector(folder / "m.xml", device="cpu", confidence=0.25, max_batch=1, passes=2)
found.detect(np.zeros((1, 64, 64, 3), np.uint8))
"""
WAIT = "time.sleep(1)"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_talks_to_nobody_and_leaves_nothing(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    home.mkdir()
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    for doing in (EXPORT, QUANTIZE, LOAD):  # each in a process of its own
        subprocess.run(
            [sys.executable, "-B", "-c", WATCHED + doing + WAIT, str(log), str(tmp_path)],
            env=environment, cwd=ROOT, check=True, timeout=100,
        )  # fmt: skip
        assert not log.exists(), doing + log.read_text()
        assert list(home.rglob("*")) == []
