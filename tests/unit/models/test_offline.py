"""Writing, calibrating and loading exported files opens no connection and leaves no file."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.vision.networks import write

ROOT = Path(__file__).parents[3]

# Into a file, since a child process may report the usage.
WATCHED = """
import sys
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
from models.export.files import export
export(folder / "m.pt", folder / "m.xml", "openvino", None, 160)
from consumer.vision.detect.detector import load_detector
found = load_detector(folder / "m.xml", device="cpu", confidence=0.25, max_batch=1, passes=2)
found.detect(np.zeros((1, 64, 64, 3), np.uint8))
"""
QUANTIZE = """
from models.export.int8 import quantize
quantize(folder / "m.xml", folder / "fast.xml", [np.zeros((64, 64, 3), np.uint8)])
"""
NO_TELEMETRY = """
assert "openvino" in sys.modules and sys.modules.get("openvino_telemetry") is None
"""


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_connects_to_no_host_and_leaves_no_file(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    home.mkdir()
    write(tmp_path / "m.pt")
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    for program in (EXPORT, QUANTIZE):
        subprocess.run(
            [sys.executable, "-B", "-c", WATCHED + program + NO_TELEMETRY, str(log), str(tmp_path)],
            env=environment, cwd=ROOT, check=True, timeout=100,
        )  # fmt: skip
        assert not log.exists(), program + log.read_text()
        assert list(home.rglob("*")) == []
