"""Names that come from outside and become paths on disk, or lines of a signed text."""

import os
import re
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")


def is_task_id(text: str) -> bool:
    """Return whether a text can be a task id, and so a folder's name."""
    return _TASK_ID.fullmatch(text) is not None


def is_plain_name(name: str) -> bool:
    """Return whether a name is one of a file alone: no folder, no line break."""
    return name not in ("", ".", "..") and _UNSAFE.search(name) is None


class PartFile:
    """A file that appears under its name only when it is complete; it replaces an older one."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._part = path.parent / f".{secrets.token_hex(8)}.part"
        self._file = self._part.open("xb")

    def write(self, chunk: bytes) -> None:
        """Add bytes."""
        self._file.write(chunk)

    def complete(self) -> Path:
        """Give the file its name, and return its path."""
        self._file.flush()
        os.fsync(self._file.fileno())  # the service forgets a webhook that was accepted
        self._file.close()
        return self._part.replace(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)
