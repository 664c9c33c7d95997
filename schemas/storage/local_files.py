"""What the local store of obstore lacks: descriptions, mounts, clean-up. All calls block."""

import os
import re
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

_SUBFOLDERS = ("input", "output", "quarantine")  # of a task: see layout.py
_PARTIAL = re.compile(r"#[0-9]+$")  # the local store writes to `<name>#<n>`, then renames


def file_info(path: Path) -> tuple[int, str, datetime]:
    """Return size, entity tag and last change of a file as the store does, but without opening it.

    Raises:
        FileNotFoundError: there is no regular file.
    """
    try:
        found = path.stat()
    except NotADirectoryError:
        raise FileNotFoundError(path) from None
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(path)
    etag = f"{found.st_ino:x}-{found.st_mtime_ns // 1000:x}-{found.st_size:x}"
    return found.st_size, etag, datetime.fromtimestamp(found.st_mtime_ns // 1_000_000_000, UTC)


def mount_point(folder: Path) -> Path:
    """Return the mount point of the file system that holds a folder, which may be missing."""
    folder = folder.resolve()
    above = (path for path in (folder, *folder.parents) if os.path.ismount(path))
    return next(above, Path(folder.anchor))


def delete_empty_folders(top: Path) -> None:
    """Delete a task's folder, or one inside it, as far as they are empty."""
    for folder in (*(top / name for name in _SUBFOLDERS), top):
        with suppress(OSError):  # missing, or not empty
            folder.rmdir()


def delete_partial(top: Path, before: datetime) -> int:
    """Delete a task's unfinished writes that are older than `before`; return how many."""
    deleted = 0
    for name in _SUBFOLDERS:
        for path in (top / name).glob("*#*"):
            if _PARTIAL.search(path.name):
                deleted += _delete_if_old(path, before)
    if deleted:
        delete_empty_folders(top)
    return deleted


def _delete_if_old(path: Path, before: datetime) -> bool:
    try:
        if path.stat().st_mtime >= before.timestamp():
            return False
        path.unlink()
    except FileNotFoundError:
        return False  # its writer has just finished it
    return True
