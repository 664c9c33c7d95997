"""Storage: whether a file can be written, read and deleted, and how much room there is."""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from cli.doctor.findings import Finding, Installation, ok, problem, warning
from schemas.settings.addresses import BUCKETS, storage_folder
from schemas.settings.base import SettingsError
from schemas.storage.storage import Storage, StorageError

LITTLE_ROOM_BYTES = 1 << 30


async def check_storage(installation: Installation) -> AsyncIterator[Finding]:
    """Check the folder or bucket of TASKS_STORAGE_URL."""
    url = installation.producer.storage_url
    folder = storage_folder(url)
    if folder is None:
        mend = f"set the {BUCKETS[url[:5]]} variables that docs/operating.md names"
    else:
        mend = f"make {folder} writable for the user of the service, or set TASKS_STORAGE_URL"
    if folder is not None and not folder.exists():
        above = next(path for path in folder.parents if path.exists())
        if os.access(above, os.W_OK | os.X_OK):
            yield ok(f"{folder} does not exist yet; the service makes it")
        else:
            yield problem(f"{folder} does not exist, and {above} is not writable", mend)
        return
    try:
        await _write_and_read(Storage.open(url))
    except (StorageError, SettingsError) as error:
        yield problem(str(error), mend)
        return
    except FileNotFoundError:
        yield problem("what was written cannot be read", mend)
        return
    yield ok(f"{folder or url}: a file can be written, read and deleted")
    if folder is not None:
        yield await asyncio.to_thread(_room, folder)


async def _write_and_read(storage: Storage) -> None:
    # No task has a name with a dot, so nothing takes it for the file of one.
    key, content = f".doctor-{secrets.token_hex(4)}", secrets.token_bytes(64)
    await storage.put(key, content)
    try:
        if await storage.get(key, max_bytes=len(content)) != content:
            raise StorageError("what is read is not what was written")
    finally:
        await storage.delete(key)


def _room(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    text = f"{free / (1 << 30):.1f} GiB free"
    if free >= LITTLE_ROOM_BYTES:
        return ok(text)
    return warning(f"only {text}: a full disk refuses new tasks (503)", "make room on the disk")
