"""The description of a stored object, apart from its content."""

import re
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.store import ObjectStore

if TYPE_CHECKING:
    from obstore import ObjectMeta

# RFC 9110, 8.8.3; some servers leave the quotes out. Not `W/"…"`, of a proxy that compresses.
_STRONG_TAG = re.compile(r'"?([!#-~\x80-\xff]+)"?')


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Size in bytes, strong entity tag without its quotes if any, last change in whole seconds."""

    size: int
    etag: str | None
    modified: datetime

    @classmethod
    def of(cls, meta: "ObjectMeta") -> "ObjectInfo":
        """As the store describes an object."""
        tag = _STRONG_TAG.fullmatch(meta["e_tag"] or "")
        modified = meta["last_modified"].replace(microsecond=0)
        return cls(meta["size"], tag and tag[1], modified)

    @classmethod
    def of_file(cls, path: Path) -> "ObjectInfo":
        """As the local store describes a file, which it would open for that. Blocks.

        Raises FileNotFoundError if there is none.
        """
        try:
            found = path.stat()
        except NotADirectoryError:
            raise FileNotFoundError(path) from None
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(path)
        etag = f"{found.st_ino:x}-{found.st_mtime_ns // 1000:x}-{found.st_size:x}"
        modified = datetime.fromtimestamp(found.st_mtime_ns // 1_000_000_000, UTC)
        return cls(found.st_size, etag, modified)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that is open for reading, once."""

    info: ObjectInfo
    chunks: AsyncIterator[bytes]


async def stored_meta(store: ObjectStore, key: str) -> "ObjectMeta":
    """Ask a store for an object's description; raises its own errors."""
    try:
        return await obstore.head_async(store, key)
    except FileNotFoundError:
        # The answer to HEAD has no body that could say that all of the bucket is missing.
        return (await obstore.get_async(store, key)).meta
