"""What the local store does not tell, leaves behind and does not clean up. Calls block."""

import os
import re
from datetime import datetime
from pathlib import Path

_PARTIAL = re.compile(r"#[0-9]+$")  # the local store writes to `<name>#<n>`, then renames


def mount_point(folder: Path) -> Path:
    """Return where the file system is mounted that a folder lies in; the folder may be missing.

    Whoever finds nothing in a folder, and its file system elsewhere than before, sees what is left
    where a disk was unmounted.
    """
    folder = folder.resolve()
    above = (path for path in (folder, *folder.parents) if os.path.ismount(path))
    return next(above, Path(folder.anchor))


def _subfolders(top: Path) -> list[Path]:
    """Where a task's files are (schemas/storage/layout.py)."""
    return [top / name for name in ("input", "output", "quarantine")]


def delete_empty_folders(top: Path) -> None:
    """Delete a task's folder, or one inside it, as far as they hold nothing."""
    for folder in (*_subfolders(top), top):
        try:
            folder.rmdir()
        except OSError:
            continue  # not there, or not empty


def delete_partial(top: Path, before: datetime) -> int:
    """Delete a task's unfinished writes of before a moment; returns how many."""
    deleted = 0
    for folder in _subfolders(top):
        try:
            names = [path.name for path in folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            continue
        for name in filter(_PARTIAL.search, names):
            deleted += _delete_if_old(folder / name, before)
    return deleted


def _delete_if_old(path: Path, before: datetime) -> bool:
    """Delete a file, and its folders if that leaves them empty; False if it is too young."""
    try:
        if path.stat().st_mtime >= before.timestamp():
            return False
        path.unlink()
    except FileNotFoundError:
        return False  # its writer has just finished it
    for folder in (path.parent, path.parent.parent):
        try:
            folder.rmdir()
        except OSError:
            break
    return True
