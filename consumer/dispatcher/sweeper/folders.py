"""Tasks as a listing of storage shows them, and what of them must go. Pure."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from schemas.contract.messages import TASK_ID_PATTERN
from schemas.contract.tasks import TaskStatus
from schemas.storage.layout import input_prefix, output_prefix


@dataclass(slots=True)
class Folder:
    """What a listing shows of one task: the times of its last change, and if originals are left.

    `newest_kept` is that of the originals in quarantine, None without any.
    """

    task_id: str
    newest: datetime
    has_inputs: bool
    newest_kept: datetime | None = None


def deletable(
    folder: Folder, status: TaskStatus | None, *, deleted: bool, before: datetime
) -> list[str]:
    """Prefixes of a task's folder that must go.

    Args:
        status: None if there is no such task: it has run out, or its upload never came to its end.
        deleted: whether the task was deleted on request.
        before: files of no task are kept until all of them are older than this.
    """
    everything = [input_prefix(folder.task_id), output_prefix(folder.task_id)]
    if status is None:
        return everything if folder.newest < before else []
    if deleted:
        return everything
    return everything[:1] if status.is_final and folder.has_inputs else []


async def folders(listing: AsyncIterator[tuple[str, datetime]]) -> AsyncIterator[Folder]:
    """Tasks of a listing, one at a time: storage lists what shares a prefix in one piece.

    Anything that does not lie where a task's files do belongs to somebody else and is passed over.
    """
    current: Folder | None = None
    async for key, changed in listing:
        parts = key.split("/")
        if len(parts) != 3 or parts[1] not in ("input", "output", "quarantine"):
            continue
        if not re.fullmatch(TASK_ID_PATTERN, parts[0]):
            continue
        if current is None or current.task_id != parts[0]:
            if current is not None:
                yield current
            current = Folder(parts[0], changed, has_inputs=False)
        if parts[1] == "quarantine":
            current.newest_kept = max(current.newest_kept or changed, changed)
            continue
        current.newest = max(current.newest, changed)
        current.has_inputs |= parts[1] == "input"
    if current is not None:
        yield current
