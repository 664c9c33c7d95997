"""Files to send: from disk or memory, as a form that is streamed and can be sent again."""

import asyncio
import errno
import mimetypes
import os
import re
import secrets
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_CHUNK_BYTES = 1 << 16

FileInput = str | os.PathLike[str] | tuple[str, bytes | str | os.PathLike[str]]
"""A path, or a file name together with bytes or a path."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file: its name, its size, and where its bytes are."""

    name: str
    content: bytes | Path
    size: int

    def chunks(self) -> Iterator[bytes]:
        """Read the file; raises OSError, with its path as `filename`, if it cannot be read.

        Also if its size is no longer the one that was announced.
        """
        if isinstance(self.content, bytes):
            yield self.content
            return
        left = self.size
        with self.content.open("rb") as file:
            while chunk := self._read(file):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
        if left:
            raise OSError(errno.EIO, "changed while it was sent", str(self.content))

    def _read(self, file: IO[bytes]) -> bytes:
        try:
            return file.read(_CHUNK_BYTES)
        except OSError as error:
            error.filename = str(self.content)  # which a failed read does not name
            raise

    def read(self) -> bytes:
        """Return the whole content."""
        return b"".join(self.chunks())


def source_files(files: Iterable[FileInput]) -> list[SourceFile]:
    """Return the files with their sizes; raises OSError if one is missing, ValueError if none.

    Only names and sizes are kept: a file is opened while it is sent.
    """
    if isinstance(files, str | bytes | os.PathLike):
        raise TypeError("files is a list of files, also if it is only one")
    found = [_source(file) for file in files]
    if not found:
        raise ValueError("there are no files")
    return found


def _source(file: FileInput) -> SourceFile:
    name, content = file if isinstance(file, tuple) else (Path(file).name, file)
    name = name.encode(errors="replace").decode()  # names on disk need not be Unicode
    if isinstance(content, bytes):
        return SourceFile(name, content, len(content))
    path = Path(content)
    return SourceFile(name, path, path.stat().st_size)


class Form:
    """`multipart/form-data` with the files in the field `files`; iterate it once per request."""

    def __init__(self, files: Iterable[SourceFile]) -> None:
        self._files = list(files)
        self._boundary = secrets.token_hex(16)

    @property
    def headers(self) -> dict[str, str]:
        """Type and length: the length is known, so a proxy need not store the request first."""
        length = sum(len(self._head(file)) + file.size + 2 for file in self._files)
        return {
            "Content-Type": f"multipart/form-data; boundary={self._boundary}",
            "Content-Length": str(length + len(self._end())),
        }

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body."""
        for file in self._files:
            yield self._head(file)
            yield from file.chunks()
            yield b"\r\n"
        yield self._end()

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the body for asyncio; files are read in threads."""
        chunks = iter(self)
        while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
            yield chunk

    def _head(self, file: SourceFile) -> bytes:
        # As browsers write names: https://html.spec.whatwg.org/#multipart-form-data
        name = re.sub('[\r\n"]', lambda found: f"%{ord(found[0]):02X}", file.name)
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        return (
            f"--{self._boundary}\r\n"
            f'Content-Disposition: form-data; name="files"; filename="{name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        ).encode()

    def _end(self) -> bytes:
        return f"--{self._boundary}--\r\n".encode()
