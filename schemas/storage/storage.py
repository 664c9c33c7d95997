"""Files of tasks, in a local folder or in S3, through one API (obstore)."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore

from schemas.settings.addresses import storage_folder
from schemas.settings.base import SettingsError
from schemas.settings.env_file import EnvFileError
from schemas.storage.buckets import open_bucket
from schemas.storage.causes import cause, is_full, is_missing_bucket
from schemas.storage.local_files import delete_empty_folders, delete_partial, mount_point
from schemas.storage.object_info import ObjectInfo, StoredObject, stored_meta

if TYPE_CHECKING:
    from obstore import GetResult

STREAM_CHUNK_BYTES = 1 << 20
# Parts of 5 MiB that a streamed write holds in memory; obstore's own default is 12.
UPLOAD_PARTS_IN_FLIGHT = 2
CALL_SECONDS = 60.0
"""Longest wait for one object, or for the next piece of one that is streamed: a mount that hangs
is unavailable, and a named pipe is no original."""

DELETE_BATCH = 1000
"""Objects deleted in one request: as many as S3 takes."""

T = TypeVar("T")


class StorageError(Exception):
    """Storage did not do what it was asked: full, away or not permitted. Worth a retry."""


class StorageFullError(StorageError):
    """There is no room, or no quota, for what was to be written. There may be some later."""


class StorageTimeoutError(StorageError):
    """Storage gave no answer in time: it is unavailable as a whole, whatever it was asked for."""


class ObjectTooLargeError(Exception):
    """An object is larger than the reader allows; nothing of it was read."""


class Storage:
    """Whole-object reads and writes; a reader never sees half a file."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        local = store.prefix if isinstance(store, LocalStore) else None
        self._folder = None if local is None else Path(local)
        self._mounted = None if self._folder is None else mount_point(self._folder)

    @classmethod
    def open(cls, url: str) -> "Storage":
        """Open `file:///folder` (made if missing) or `s3://bucket/prefix`.

        Raises SettingsError if that cannot be.
        """
        try:
            folder = storage_folder(url)
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                return cls(LocalStore(folder, automatic_cleanup=True, mkdir=True))
            return cls(open_bucket(url))
        except EnvFileError as error:
            raise SettingsError(str(error)) from None
        except (BaseError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
            raise SettingsError(f"TASKS_STORAGE_URL cannot be used: {reason}") from error

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        """Read an object whole.

        Raises:
            FileNotFoundError: there is none.
            ObjectTooLargeError: it has more than `max_bytes`.
            StorageError: anything else; worth a retry.
        """
        async with self._reading("get"):
            response = await obstore.get_async(self._store, key)
            if response.meta["size"] > max_bytes:
                raise ObjectTooLargeError
            return bytes(await response.bytes_async())

    async def size(self, key: str) -> int:
        """Bytes of an object; errors as `get`."""
        async with self._reading("head"):
            return int((await stored_meta(self._store, key))["size"])

    async def stream(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read an object in chunks; errors as `get`."""
        async with self._reading("stream"):
            response = await obstore.get_async(self._store, key)
        async with aclosing(_chunks(response)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def describe(self, key: str) -> ObjectInfo:
        """Describe an object without opening it; errors as `get`."""
        async with self._reading("describe"):
            if self._folder is None:
                return ObjectInfo.of(await stored_meta(self._store, key))
            return await asyncio.to_thread(ObjectInfo.of_file, self._folder / key)

    async def open_object(self, key: str) -> StoredObject:
        """Open an object for reading; errors as `get`."""
        async with self._reading("open"):
            response = await obstore.get_async(self._store, key)
        return StoredObject(ObjectInfo.of(response.meta), _chunks(response))

    @asynccontextmanager
    async def _reading(self, what: str) -> AsyncIterator[None]:
        try:
            async with _asking(what):
                yield
        except FileNotFoundError:
            await self._check_mounted(what)
            raise

    async def _check_mounted(self, what: str) -> None:
        """Raise StorageError while the folder's file system is not mounted, if it was at the start.

        In the empty folder that is left nothing is found, and what is written there is hidden as
        soon as the file system is back. Whoever starts meanwhile cannot tell.
        """
        if self._folder is None:
            return
        mounted = await _in_thread(what, mount_point, self._folder)
        if mounted != self._mounted:
            raise StorageError(
                f"{what}: {self._folder} is in {mounted}, and was in {self._mounted} at the start:"
                " mount it as it was, or restart"
            )

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
        await self._check_mounted("put")
        try:
            async with asyncio.timeout(CALL_SECONDS) as limit:
                content = data if isinstance(data, bytes) else _limited(data, limit)
                await obstore.put_async(
                    self._store, key, content, mode=mode, max_concurrency=UPLOAD_PARTS_IN_FLIGHT
                )
        except (BaseError, OSError, ValueError) as error:
            raise _failure("put", error) from error

    async def delete(self, *keys: str) -> None:
        """Delete objects, many in one request; one that is not there is no error."""
        for first in range(0, len(keys), DELETE_BATCH):
            batch = list(keys[first : first + DELETE_BATCH])
            try:
                async with _asking("delete"):
                    await obstore.delete_async(self._store, batch)
            except FileNotFoundError:
                # A local folder, which stops there; S3 does not mind.
                await self._delete_each(batch)

    async def _delete_each(self, keys: list[str]) -> None:
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
        if self._folder is not None:
            # An interrupted write leaves its empty folders behind.
            await _in_thread("rmdir", delete_empty_folders, self._folder / prefix)
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

    async def top_names(self) -> tuple[str, ...] | None:
        """What lies at the top of a local folder, strange names too; None if storage is elsewhere.

        One listing of everything fails as a whole on what it may not read or cannot name.
        """
        if self._folder is None:
            return None
        try:
            return tuple(await _in_thread("list", os.listdir, self._folder))
        except FileNotFoundError:
            return ()

    async def delete_partial(self, prefix: str, before: datetime) -> int:
        """Delete what a killed process left of a task's unfinished local writes; returns how many.

        Such a file is in no listing, so nothing else would ever find this half of an original.
        S3 keeps unfinished uploads too; there a lifecycle rule of the bucket removes them.
        """
        if self._folder is None:
            return 0
        return await _in_thread("delete_partial", delete_partial, self._folder / prefix, before)

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
    except FileNotFoundError as error:
        if is_missing_bucket(error):
            raise _failure(what, error) from error
        raise
    except (BaseError, OSError, ValueError) as error:
        raise _failure(what, error) from error


def _failure(what: str, error: Exception) -> StorageError:
    kind = StorageError
    if isinstance(error, TimeoutError):
        kind = StorageTimeoutError
    elif is_full(error):
        kind = StorageFullError
    return kind(f"{what}: {cause(error)}")


async def _in_thread(what: str, call: Callable[..., T], *arguments: Any) -> T:
    """Ask the file system itself. A call that hangs keeps its thread, but not who asked."""
    async with _asking(what):
        return await asyncio.to_thread(call, *arguments)


async def _limited(
    data: AsyncIterator[bytes], limit: asyncio.Timeout
) -> AsyncGenerator[bytes, None]:
    """Pieces to write, and after each a limit for storage to take it.

    There is none for the next piece to come: whoever sends it is watched elsewhere.
    """
    now = asyncio.get_running_loop().time
    limit.reschedule(None)
    async for piece in data:
        limit.reschedule(now() + CALL_SECONDS)
        yield piece
        limit.reschedule(None)
    limit.reschedule(now() + CALL_SECONDS)


async def _chunks(response: "GetResult") -> AsyncGenerator[bytes, None]:
    chunks = aiter(response.stream(min_chunk_size=STREAM_CHUNK_BYTES))
    try:
        while True:
            async with asyncio.timeout(CALL_SECONDS):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield bytes(chunk)
    except (BaseError, OSError, ValueError) as error:
        raise _failure("stream", error) from error
