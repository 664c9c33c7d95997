"""The form of an upload, whose files are read while they are sent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from aiohttp import AsyncIterablePayload, FormData

from cli.images.sources import Source

IDLE_SECONDS = 120.0
"""Longest wait for the service to take or to send the next bytes."""

_CHUNK_BYTES = 1 << 20


class UnreadableError(Exception):
    """A file of an upload cannot be read, or has changed meanwhile."""

    def __init__(self, source: Source, error: OSError) -> None:
        super().__init__(error.strerror or str(error))
        self.source = source


class Upload:
    """The form of one attempt: files are read in chunks when their turn comes."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self.failure: UnreadableError | None = None
        self.limit: asyncio.Timeout | None = None

    def form(self) -> FormData:
        """Return the form; raise UnreadableError."""
        # Names as UTF-8, as browsers and curl send them.
        form = FormData(quote_fields=False, charset="utf-8")
        for source in self._sources:
            try:
                size = source.path.stat().st_size
            except OSError as error:
                raise UnreadableError(source, error) from None
            file = _SizedFile(self._chunks(source, size), size)
            name = source.path.name.encode(errors="replace").decode()
            form.add_field(
                "files", file, filename=_quotable(name), content_type="application/octet-stream"
            )
        return form

    async def _chunks(self, source: Source, size: int) -> AsyncIterator[bytes]:
        at = 0
        try:
            while at < size:
                # Opened for each chunk: aiohttp does not close what it has stopped to read.
                chunk = await asyncio.to_thread(_read_at, source.path, at, size - at)
                if not chunk:
                    raise OSError("it became shorter while it was read")
                at += len(chunk)
                self._reset_limit()
                yield chunk
        except OSError as error:
            self.failure = UnreadableError(source, error)
            raise

    def _reset_limit(self) -> None:
        if self.limit is not None and not self.limit.expired():
            self.limit.reschedule(asyncio.get_running_loop().time() + IDLE_SECONDS)


class _SizedFile(AsyncIterablePayload):
    """A file that is read while it is sent. Its size is known, so the request has a length."""

    def __init__(self, chunks: AsyncIterator[bytes], size: int) -> None:
        super().__init__(chunks, content_type="application/octet-stream")
        self._size = size


def _read_at(path: Path, at: int, left: int) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        return file.read(min(left, _CHUNK_BYTES))


def _quotable(name: str) -> str:
    """Return a name for the header of a part, which can hold no quotes and line ends."""
    return "".join("_" if character in '"\r\n\\\0' else character for character in name)
