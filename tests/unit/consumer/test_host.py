"""Large images are faulted in once, not each time anew."""

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, sys, threading
import numpy as np
if sys.argv[1] == "kept":
    from consumer.host import keep_large_blocks
    assert keep_large_blocks()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    for _ in range(3):
        np.ones(48 << 20, np.uint8)
    before = faults()
    for _ in range(10):
        np.ones(48 << 20, np.uint8)
    print(faults() - before)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""


def faults(mode: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", CODE, mode], check=True, capture_output=True, timeout=60
    )
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is of glibc")
def test_blocks_stay_mapped() -> None:
    kept, usual = faults("kept"), faults("usual")
    assert kept < usual / 10
    assert kept < 100
