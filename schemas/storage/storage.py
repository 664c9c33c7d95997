"""Files of tasks, in a local folder or in a bucket, through one API (obstore)."""

import asyncio
import os
import shutil
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore

from schemas.settings.addresses import storage_folder
from schemas.settings.sources import SettingsError
from schemas.storage import local_files
from schemas.storage.buckets import delete_batch, open_bucket
from schemas.storage.errors import (
    ObjectTooLargeError,
    StorageError,
    StorageFullError,
    StorageTimeoutError,
    is_missing_bucket,
    storage_error,
)  # fmt: skip
from schemas.storage.objects import ObjectInfo, StoredObject, type_of
from schemas.storage.parts import at_once

if TYPE_CHECKING:
    from obstore import Attributes, GetResult, SignCapableStore

__all__ = [
    "ObjectInfo", "ObjectTooLargeError", "Storage", "StorageError", "StorageFullError",
    "StorageTimeoutError", "StoredObject",
]  # fmt: skip

STREAM_CHUNK_BYTES = 1 << 20
# Parts that a streamed write holds in memory; obstore's own default is 12.
UPLOAD_PARTS_IN_FLIGHT = 2
CALL_SECONDS = 60.0
"""Longest wait for one object, or for the next chunk of a stream: a mount may hang."""
SIGNED_URL_SECONDS = 300
"""How long a signed address can be used."""

T = TypeVar("T")


class Storage:
    """Reads and writes of whole objects; a reader never sees half an object."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        local = store.prefix if isinstance(store, LocalStore) else None
        self._folder = None if local is None else Path(local)
        self._mounted = self._folder and local_files.mount_point(self._folder)

    @classmethod
    def open(cls, url: str) -> "Storage":
        """Open `file:///folder` (created if missing), `s3://bucket/prefix`, `gs://…` or `az://…`.

        Raises:
            SettingsError: the address or a setting of the bucket cannot be used.
        """
        try:
            folder = storage_folder(url)
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                return cls(LocalStore(folder, automatic_cleanup=True, mkdir=True))
            return cls(open_bucket(url))
        except (BaseError, OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
            raise SettingsError(f"TASKS_STORAGE_URL cannot be used: {reason}") from error

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        """Read a whole object.

        Raises:
            FileNotFoundError: it does not exist.
            ObjectTooLargeError: it has more than `max_bytes`.
            StorageError: any other failure; worth a retry.
        """
        async with self._reading("get"):
            response = await obstore.get_async(self._store, key)
            if response.meta["size"] > max_bytes:
                raise ObjectTooLargeError
            return bytes(await response.bytes_async())

    async def size(self, key: str) -> int:
        """Return the size of an object in bytes; errors as `get`."""
        return (await self.describe(key)).size

    async def stream(self, key: str) -> AsyncGenerator[bytes, None]:
        """Read an object in chunks; errors as `get`."""
        async with aclosing((await self.open_object(key)).chunks) as chunks:
            async for chunk in chunks:
                yield chunk

    async def describe(self, key: str) -> ObjectInfo:
        """Describe an object without opening it; errors as `get`."""
        async with self._reading("describe"):
            if self._folder is not None:
                path = self._folder / key
                return ObjectInfo(*await asyncio.to_thread(local_files.file_info, path))
            try:
                meta = await obstore.head_async(self._store, key)
            except FileNotFoundError:
                # A response to HEAD has no body, which would say that the whole bucket is missing.
                meta = (await obstore.get_async(self._store, key)).meta
            return ObjectInfo.from_meta(meta)

    async def open_object(self, key: str) -> StoredObject:
        """Open an object for reading; errors as `get`."""
        async with self._reading("open"):
            response = await obstore.get_async(self._store, key)
        return StoredObject(ObjectInfo.from_meta(response.meta), _chunks(response))

    @asynccontextmanager
    async def _reading(self, call: str) -> AsyncIterator[None]:
        try:
            async with _limited_call(call):
                yield
        except FileNotFoundError:
            await self._check_mounted(call)
            raise

    async def _check_mounted(self, call: str) -> None:
        """Raise StorageError if the folder's file system is not mounted as it was at the start.

        Without it the folder is empty, and new files would be hidden by the next mount.
        """
        if self._folder is None:
            return
        mounted = await _in_thread(call, local_files.mount_point, self._folder)
        if mounted != self._mounted:
            raise StorageError(
                f"{call}: {self._folder} is in {mounted}, and was in {self._mounted} at the start:"
                " mount it as it was, or restart"
            )

    async def put(self, key: str, data: bytes | AsyncIterator[bytes]) -> None:
        """Write a whole object, also over an existing one."""
        await self._check_mounted("put")
        try:
            async with asyncio.timeout(CALL_SECONDS) as limit:
                content: bytes | AsyncIterator[bytes]
                content = data if isinstance(data, bytes) else _limited(data, limit)
                if self._folder is None and not isinstance(content, bytes):
                    content = await at_once(content)
                await obstore.put_async(
                    self._store, key, content, attributes=self._attributes(key),
                    max_concurrency=UPLOAD_PARTS_IN_FLIGHT,
                )  # fmt: skip
        except (BaseError, OSError, ValueError) as error:
            raise storage_error("put", error) from error

    def _attributes(self, key: str) -> "Attributes | None":
        found = type_of(key) if self._folder is None else None
        return None if found is None else {"Content-Type": found}

    async def signed_url(self, key: str) -> str | None:
        """Return an address at which anybody can read an object for a time; None for a folder.

        It is signed here: whether the object exists is not checked.
        """
        if self._folder is not None:
            return None
        async with _limited_call("sign"):
            return await obstore.sign_async(
                cast("SignCapableStore", self._store), "GET", key,
                timedelta(seconds=SIGNED_URL_SECONDS),
            )  # fmt: skip

    @property
    def delete_batch(self) -> int:
        """How many objects one request deletes."""
        return delete_batch(self._store)

    async def delete(self, *keys: str) -> None:
        """Delete objects, many in one request; a missing object is no error."""
        size = self.delete_batch
        for first in range(0, len(keys), size):
            try:
                async with _limited_call("delete"):
                    await obstore.delete_async(self._store, list(keys[first : first + size]))
            except FileNotFoundError:
                continue

    async def delete_prefix(self, prefix: str) -> int:
        """Delete all objects under a prefix; return how many."""
        keys = [key async for key, _ in self.list(prefix)]
        await self.delete(*keys)
        await self.delete_empty_folders(prefix)
        return len(keys)

    async def delete_empty_folders(self, prefix: str) -> None:
        """Delete the empty folders of a task, which an interrupted local write leaves."""
        if self._folder is not None:
            await _in_thread("rmdir", local_files.delete_empty_folders, self._folder / prefix)

    async def list(self, prefix: str = "") -> AsyncIterator[tuple[str, datetime]]:
        """Yield the keys under a prefix with the time of their last change."""
        pages = aiter(obstore.list(self._store, prefix or None))
        while True:
            try:
                async with _limited_call("list"):
                    page = await anext(pages, None)
            except FileNotFoundError:
                return
            if page is None:
                return
            for entry in page:
                yield entry["path"], entry["last_modified"]

    async def top_names(self) -> tuple[str, ...] | None:
        """Return the names at the top of a local folder, also unusual ones; None for a bucket.

        A listing of the whole folder would fail at one name that it cannot read or decode.
        """
        if self._folder is None:
            return None
        try:
            return tuple(await _in_thread("list", os.listdir, self._folder))
        except FileNotFoundError:
            return ()

    async def delete_partial(self, prefix: str, before: datetime) -> int:
        """Delete a task's unfinished local writes, which no listing shows; return how many.

        Unfinished uploads in S3 are removed by a lifecycle rule of the bucket.
        """
        if self._folder is None:
            return 0
        call = local_files.delete_partial
        return await _in_thread("delete_partial", call, self._folder / prefix, before)

    async def space(self) -> tuple[int, int] | None:
        """Return the free and all bytes of a local folder's file system; None for a bucket."""
        if self._folder is None:
            return None
        found = await _in_thread("space", shutil.disk_usage, self._folder)
        return found.free, found.total

    async def check(self) -> None:
        """Write and delete a small object; raise StorageError if that fails."""
        await self.put(".ready", b"ok")
        await self.delete(".ready")


@asynccontextmanager
async def _limited_call(call: str) -> AsyncIterator[None]:
    """Limit a call in time; raise its errors as StorageError, except for FileNotFoundError."""
    try:
        async with asyncio.timeout(CALL_SECONDS):
            yield
    except FileNotFoundError as error:
        if is_missing_bucket(error):
            raise storage_error(call, error) from error
        raise
    except (BaseError, OSError, ValueError) as error:
        raise storage_error(call, error) from error


async def _in_thread(call: str, function: Callable[..., T], *arguments: Any) -> T:
    """Call the file system. A call that hangs keeps its thread, but not its caller."""
    async with _limited_call(call):
        return await asyncio.to_thread(function, *arguments)


async def _limited(
    data: AsyncIterator[bytes], limit: asyncio.Timeout
) -> AsyncGenerator[bytes, None]:
    """Yield chunks to write, each with a time limit for storage to take it.

    The wait for the next chunk has no limit here: the sender has its own.
    """
    now = asyncio.get_running_loop().time
    limit.reschedule(None)
    async for chunk in data:
        limit.reschedule(now() + CALL_SECONDS)
        yield chunk
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
        raise storage_error("stream", error) from error
