"""Reading the files of a multipart form, chunk by chunk and within limits."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import BodyPartReader, ClientError, MultipartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from producer.errors import (
    ClientGoneError,
    FileTooLargeError,
    MalformedRequestError,
    RequestTooLargeError,
    SlowUploadError,
    UnsupportedTypeError,
)
from producer.settings import ProducerSettings

FILES_FIELD = "files"
MAX_OTHER_PARTS = 100
MAX_PREAMBLE_LINES = 100

_READ_BYTES = 65_536
_CHUNK_BYTES = 262_144
_MAGIC_BYTES = 12

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What one request may ask for."""

    max_files: int
    max_file_bytes: int
    max_request_bytes: int
    idle_seconds: float
    total_seconds: float

    @classmethod
    def of(cls, settings: ProducerSettings) -> "UploadLimits":
        """The limits that the settings name."""
        return cls(
            max_files=settings.max_files,
            max_file_bytes=settings.max_file_size_bytes,
            max_request_bytes=settings.max_request_bytes,
            idle_seconds=settings.upload_idle_timeout_seconds,
            total_seconds=settings.upload_timeout_seconds,
        )


def check_headers(request: web.Request, limits: UploadLimits) -> None:
    """Refuse what the headers already show, before any byte of the body is read."""
    if request.content_type != "multipart/form-data":
        raise MalformedRequestError(
            f"Send multipart/form-data with one or more files in the field “{FILES_FIELD}”."
        )
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise UnsupportedTypeError("A compressed request body is not supported.")
    if (request.content_length or 0) > limits.max_request_bytes:
        raise _request_too_large(limits)


def is_image(head: bytes) -> bool:
    """Whether the first bytes are those of a JPEG, PNG or WebP file."""
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"))
        or head[:4] + head[8:12] == b"RIFFWEBP"
    )


class UploadForm:
    """One request's multipart body. Fields other than `files` are read past.

    With `hashing` each file is digested as it is read.
    """

    def __init__(
        self, request: web.Request, limits: UploadLimits, *, hashing: bool = False
    ) -> None:
        self._request = request
        self._limits = limits
        self._hashing = hashing
        self._reader: asyncio.Task[object] | None = None

    async def files(self) -> AsyncIterator["FilePart"]:
        """The files in their order; each is to be read before the next is asked for."""
        reader = await self._read(_open(self._request))
        other_parts = 0
        while (part := await self._read(reader.next())) is not None:
            if isinstance(part, MultipartReader):
                raise MalformedRequestError("A part of the form is itself multipart.")
            if part.name == FILES_FIELD and part.filename is None:
                raise MalformedRequestError(f"“{FILES_FIELD}” holds text instead of a file.")
            if part.name == FILES_FIELD and part.filename:
                yield FilePart(self, part, self._limits.max_file_bytes, hashing=self._hashing)
                continue
            other_parts += 1
            if other_parts > MAX_OTHER_PARTS:
                raise MalformedRequestError("The form has too many fields.")
            while await self.read_chunk(part):
                pass

    async def read_chunk(self, part: BodyPartReader) -> bytes:
        """The next bytes of a part, or none at its end."""
        chunk = b""
        while not chunk and not part.at_eof():
            chunk = await self._read(part.read_chunk(_READ_BYTES))
        return chunk

    async def stop(self) -> None:
        """End a read that goes on although nobody waits for it any more.

        Storage reads in tasks of its own, which outlive a write that failed or was cancelled. The
        body could then be read by nobody else, and part of it would vanish.
        """
        reader = self._reader
        if reader is not None and reader is not asyncio.current_task():
            reader.cancel()
            await asyncio.wait([reader], timeout=self._limits.idle_seconds)

    async def _read(self, reading: Awaitable[T]) -> T:
        self._reader = asyncio.current_task()
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                answer = await reading
        except TimeoutError:
            raise SlowUploadError("The upload stood still for too long.") from None
        except (ConnectionError, ClientError, web.RequestPayloadError):
            raise ClientGoneError from None
        except (ValueError, AssertionError, RuntimeError, HttpProcessingError):
            # aiohttp's reader has no one error for a body that is not what it says.
            raise MalformedRequestError("The body is not well-formed multipart.") from None
        finally:
            self._reader = None
        if self._request.content.total_bytes > self._limits.max_request_bytes:
            raise _request_too_large(self._limits)
        return answer


class _FormReader(MultipartReader):
    """Looks for the first boundary in a few lines only.

    Clients send none before it, and a body of nothing but line ends would keep the event loop busy
    for a second per MiB.
    """

    _preamble_lines = 0

    async def _readline(self) -> bytes:
        if self._at_bof:
            self._preamble_lines += 1
            if self._preamble_lines > MAX_PREAMBLE_LINES:
                raise ValueError("too many lines before the first boundary")
        return await super()._readline()


async def _open(request: web.Request) -> MultipartReader:
    return _FormReader(request.headers, request.content)


class FilePart:
    """One file of a form, read once from start to end."""

    def __init__(
        self, form: UploadForm, part: BodyPartReader, max_bytes: int, *, hashing: bool
    ) -> None:
        self._form = form
        self._part = part
        self._max_bytes = max_bytes
        self._head = b""
        self._digest = hashlib.sha256() if hashing else None
        self.filename = part.filename or ""
        self.size = 0

    @property
    def sha256(self) -> str:
        """Digest in hex of what was read; empty if it is not wanted."""
        return "" if self._digest is None else self._digest.hexdigest()

    async def check_type(self) -> None:
        """Look at the first bytes; the declared type and the name's ending say nothing."""
        while len(self._head) < _MAGIC_BYTES and (chunk := await self._next()):
            self._head += chunk
        if not is_image(self._head):
            raise UnsupportedTypeError("A file is not a JPEG, PNG or WebP image.")

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content in pieces of about 256 KiB: each costs storage a hop between threads."""
        gathered = bytearray(self._head)
        while chunk := await self._next():
            gathered += chunk
            if len(gathered) >= _CHUNK_BYTES:
                yield bytes(gathered)
                gathered.clear()
        if gathered:
            yield bytes(gathered)

    async def _next(self) -> bytes:
        chunk = await self._form.read_chunk(self._part)
        self.size += len(chunk)
        if self.size > self._max_bytes:
            raise FileTooLargeError(f"A file has more than {self._max_bytes} bytes.")
        if self._digest is not None:
            self._digest.update(chunk)
        return chunk


def _request_too_large(limits: UploadLimits) -> RequestTooLargeError:
    return RequestTooLargeError(f"The request has more than {limits.max_request_bytes} bytes.")
