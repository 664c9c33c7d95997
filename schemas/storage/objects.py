"""How storage describes an object, and the media type that it is stored with."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore import ObjectMeta

# RFC 9110, 8.8.3; some servers omit the quotes. Not `W/"…"`, from a proxy that compresses.
_STRONG_TAG = re.compile(r'"?([!#-~\x80-\xff]+)"?')


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Size in bytes, strong entity tag without its quotes if any, last change in whole seconds."""

    size: int
    etag: str | None
    modified: datetime

    @classmethod
    def from_meta(cls, meta: "ObjectMeta") -> "ObjectInfo":
        """Convert the store's description."""
        tag = _STRONG_TAG.fullmatch(meta["e_tag"] or "")
        return cls(meta["size"], tag and tag[1], meta["last_modified"].replace(microsecond=0))


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object that is open for reading, once."""

    info: ObjectInfo
    chunks: AsyncGenerator[bytes, None]


def type_of(key: str) -> str | None:
    """Return the media type that an object is stored with: that of a result, which may be read by
    a signed address; None for others.
    """
    return "image/webp" if key.split("/")[1:2] == ["output"] else None
