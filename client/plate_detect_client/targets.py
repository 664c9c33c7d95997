"""Where a response goes: a file that appears when it is complete, an open file, or memory."""

import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from plate_detect_client.errors import PlateDetectError


class PartFile:
    """A file that appears under its name only when it is complete; it replaces an older one."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._part = path.parent / f".{secrets.token_hex(8)}.part"
        self._file = self._part.open("xb")

    def write(self, chunk: bytes) -> None:
        """Add bytes."""
        self._file.write(chunk)

    def complete(self) -> Path:
        """Give the file its name, and return its path."""
        self._file.flush()
        os.fsync(self._file.fileno())  # the service forgets a webhook that was accepted
        self._file.close()
        return self._part.replace(self._path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)


class OpenFile:
    """A file of the caller, emptied for each attempt to write it; it stays open."""

    def __init__(self, file: IO[bytes]) -> None:
        file.seek(0)
        file.truncate()
        self._file = file

    def write(self, chunk: bytes) -> None:
        """Add bytes."""
        self._file.write(chunk)

    def complete(self) -> None:
        """Let others read what was written."""
        self._file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


Target = PartFile | OpenFile


class Body:
    """A response in memory, of a limited size."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._content = bytearray()

    def add(self, chunk: bytes) -> None:
        """Add bytes; raises PlateDetectError if they become too many."""
        self._content += chunk
        if len(self._content) > self._max_bytes:
            raise PlateDetectError(f"the service sends more than {self._max_bytes} bytes")

    @property
    def content(self) -> bytes:
        """All bytes."""
        return bytes(self._content)
