"""Names that come from outside and become paths on disk, or lines of a signed text."""

import re

_TASK_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\]")


def is_task_id(text: str) -> bool:
    """Return whether a text can be a task id, and so a folder's name."""
    return _TASK_ID.fullmatch(text) is not None


def is_plain_name(name: str) -> bool:
    """Return whether a name is one of a file alone: no folder, no line break."""
    return name not in ("", ".", "..") and _UNSAFE.search(name) is None
