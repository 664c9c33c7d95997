"""Lack of memory is reported as such, even if the decoder calls the file damaged."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.service import ROOT
from tests.unit.vision.pictures import Pixels, encoded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits its own address space")

DECODES_WITH_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from consumer.vision.image.decoder import decode

data, left = Path(sys.argv[1]).read_bytes(), int(sys.argv[2])
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + left, resource.RLIM_INFINITY))
try:
    decode(data, max_pixels=10**8)
    print("decoded")
except BaseException as error:
    print(type(error).__name__)
"""


def _cmyk(pixels: Pixels) -> bytes:
    return encoded(Image.fromarray(pixels).convert("CMYK"), "JPEG", progressive=True)


KINDS: dict[str, tuple[Callable[[Pixels], bytes], int]] = {
    "JPEG without room for its pixels": (lambda p: encoded(p, "JPEG"), 4),
    "progressive JPEG without room for its decoder": (
        lambda p: encoded(p, "JPEG", progressive=True), 34,
    ),
    "PNG without room for its pixels": (lambda p: encoded(p, "PNG"), 4),
    "lossless WebP without room for its decoder": (
        lambda p: encoded(p, "WEBP", lossless=True, method=0), 38,
    ),
    "CMYK JPEG without room for its decoder": (_cmyk, 60),
}  # fmt: skip
"""Function that makes the file, and free megabytes, of which its decoder needs more."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_file_is_not_called_damaged_for_lack_of_memory(kind: str, tmp_path: Path) -> None:
    make, left = KINDS[kind]
    file = tmp_path / "image"
    file.write_bytes(make(np.zeros((2500, 3200, 3), np.uint8)))
    ended = subprocess.run(
        [sys.executable, "-c", DECODES_WITH_LITTLE_MEMORY, str(file), str(left << 20)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ended.stdout == "MemoryError\n"
