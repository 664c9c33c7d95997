"""File systems mounted for a test; the test is skipped where mounting is impossible."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[None]:
    """Mount a new, empty file system of `size_mb` megabytes on `folder`, which is made."""
    folder.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder))
    try:
        yield
    finally:
        unmount(folder)


def mount(*arguments: str) -> None:
    """Mount; skip the test if that is not possible."""
    if not shutil.which("mount"):
        pytest.skip("the program mount is not installed")
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting needs rights that this process lacks: {done.stderr.strip()}")


def unmount(folder: Path) -> None:
    """Unmount a file system, also while it is in use."""
    subprocess.run(["umount", "-l", str(folder)], check=True)
