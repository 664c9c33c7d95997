"""Files of tasks, in a local folder or in S3, through one API (obstore)."""

import asyncio
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

if TYPE_CHECKING:
    from obstore import GetResult

STREAM_CHUNK_BYTES = 1 << 20
# Parts of 5 MiB that a streamed write holds in memory; obstore's own default is 12.
UPLOAD_PARTS_IN_FLIGHT = 2
CALL_SECONDS = 60.0
"""Longest wait for one object: a mount that hangs is away, and a named pipe is no original."""
_PARTIAL = re.compile(r"#[0-9]+$")  # the local store writes to `<name>#<n>`, then renames


class StorageError(Exception):
    """Storage did not do what it was asked: full, away or not permitted. Worth a retry."""


class ObjectTooLargeError(Exception):
    """An object is larger than the reader allows; nothing of it was read."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that is open for reading, once."""

    size: int
    etag: str | None
    chunks: AsyncIterator[bytes]


class Storage:
    """Whole-object reads and writes; a reader never sees half a file."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @classmethod
    def open(cls, url: str) -> "Storage":
        """Open `file:///folder` (made if missing) or `s3://bucket/prefix`."""
        parts = urlsplit(url)
        if parts.scheme == "file":
            folder = Path(unquote(parts.path))
            folder.mkdir(parents=True, exist_ok=True)
            return cls(LocalStore(folder, automatic_cleanup=True, mkdir=True))
        return cls(from_url(url))

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        """Read an object whole.

        Raises:
            FileNotFoundError: there is none.
            ObjectTooLargeError: it has more than `max_bytes`.
            StorageError: anything else; worth a retry.
        """
        async with _asking("get"):
            response = await obstore.get_async(self._store, key)
            if response.meta["size"] > max_bytes:
                raise ObjectTooLargeError
            return bytes(await response.bytes_async())

    async def size(self, key: str) -> int:
        """Bytes of an object; errors as `get`."""
        async with _asking("head"):
            return int((await obstore.head_async(self._store, key))["size"])

    async def stream(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read an object in chunks; errors as `get`."""
        async with _asking("stream"):
            response = await obstore.get_async(self._store, key)
        async with aclosing(_chunks(response)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def open_object(self, key: str) -> StoredObject:
        """An object's size and entity tag, with its content to stream; errors as `get`."""
        async with _asking("open"):
            response = await obstore.get_async(self._store, key)
        etag = response.meta["e_tag"]
        return StoredObject(response.meta["size"], etag and etag.strip('"'), _chunks(response))

    async def put(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        """Write a whole object, replacing what is there."""
        await self._put(key, data, "overwrite")

    async def put_new(self, key: str, data: bytes) -> bool:
        """Write an object unless there is one; False if there is."""
        try:
            await self._put(key, data, "create")
        except StorageError as error:
            if isinstance(error.__cause__, AlreadyExistsError):
                return False
            raise
        return True

    async def _put(self, key: str, data: Any, mode: Any) -> None:
        # What is streamed comes as fast as its sender sends, who is watched elsewhere.
        limit = CALL_SECONDS if isinstance(data, bytes) else None
        try:
            async with asyncio.timeout(limit):
                await obstore.put_async(
                    self._store, key, data, mode=mode, max_concurrency=UPLOAD_PARTS_IN_FLIGHT
                )
        except (BaseError, OSError, ValueError) as error:
            raise StorageError(f"put: {type(error).__name__}") from error

    async def delete(self, *keys: str) -> None:
        """Delete objects; one that is not there is no error."""
        for key in keys:
            try:
                async with _asking("delete"):
                    await obstore.delete_async(self._store, key)
            except FileNotFoundError:
                continue

    async def delete_prefix(self, prefix: str) -> int:
        """Delete everything under a prefix; returns how many objects."""
        keys = [key async for key, _ in self.list(prefix)]
        await self.delete(*keys)
        if isinstance(self._store, LocalStore) and self._store.prefix is not None:
            # An interrupted write leaves its empty folders behind.
            await asyncio.to_thread(_delete_empty_folders, Path(self._store.prefix) / prefix)
        return len(keys)

    async def list(self, prefix: str = "") -> AsyncIterator[tuple[str, datetime]]:
        """Keys under a prefix with the time of their last change."""
        pages = aiter(obstore.list(self._store, prefix or None))
        while True:
            try:
                async with _asking("list"):
                    page = await anext(pages, None)
            except FileNotFoundError:
                return
            if page is None:
                return
            for entry in page:
                yield entry["path"], entry["last_modified"]

    async def delete_partial(self, before: datetime) -> int:
        """Delete what a killed process left of unfinished local writes; returns how many.

        Such a file is in no listing, so nothing else would ever find this half of an original.
        S3 keeps unfinished uploads too; there a lifecycle rule of the bucket removes them.
        """
        if not isinstance(self._store, LocalStore) or self._store.prefix is None:
            return 0
        try:
            return await asyncio.to_thread(_delete_partial, Path(self._store.prefix), before)
        except OSError as error:
            raise StorageError(f"delete_partial: {type(error).__name__}") from error

    async def check(self) -> None:
        """Write and delete a small object; raises StorageError if that fails."""
        await self.put(".ready", b"ok")
        await self.delete(".ready")


@asynccontextmanager
async def _asking(what: str) -> AsyncIterator[None]:
    """Bound a call in time and tell its failures as StorageError, but for FileNotFoundError."""
    try:
        async with asyncio.timeout(CALL_SECONDS):
            yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError, ValueError) as error:
        raise StorageError(f"{what}: {type(error).__name__}") from error


async def _chunks(response: "GetResult") -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in response.stream(min_chunk_size=STREAM_CHUNK_BYTES):
            yield bytes(chunk)
    except (BaseError, OSError, ValueError) as error:
        raise StorageError(f"stream: {type(error).__name__}") from error


def _delete_empty_folders(top: Path) -> None:
    for folder in (top / "input", top / "output", top / "quarantine", top):
        try:
            folder.rmdir()
        except OSError:
            continue  # not there, or not empty


def _delete_partial(root: Path, before: datetime) -> int:
    deleted = 0
    # os.walk, unlike glob, bears folders that vanish while it looks.
    for folder, _, names in os.walk(root):
        if len(Path(folder).relative_to(root).parts) != 2:
            continue  # no task's files are here (schemas/layout.py)
        for name in filter(_PARTIAL.search, names):
            deleted += _delete_if_old(Path(folder, name), before)
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
