"""Reading the files of a multipart form, chunk by chunk and within limits."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import TypeVar

from aiohttp import ClientError, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from producer.errors import (
    ClientGoneError,
    MalformedRequestError,
    RequestTooLargeError,
    SlowUploadError,
    UnsupportedTypeError,
)
from producer.settings import ProducerSettings
from producer.uploads.files import FilePart, is_file, place_and_name
from producer.uploads.formats import HEAD_BYTES
from producer.uploads.multipart import BodyPart, FormReader

FILES_FIELD = "files"
MAX_OTHER_PARTS = 100
MAX_SHOWN_CHARACTERS = 100

# PHP, Rails, jQuery and axios mark a field that may be repeated.
_FILES_FIELD = re.compile(rf"{FILES_FIELD}(\[[^\[\]]*\])?")

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
    # Not `request.content_type`: that fails on parameters with some charsets.
    media_type = request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0]
    if media_type.strip().lower() != "multipart/form-data":
        raise MalformedRequestError(
            f"Send multipart/form-data with one or more files in the field “{FILES_FIELD}”."
        )
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise UnsupportedTypeError("A compressed request body is not supported.")
    if (request.content_length or 0) > limits.max_request_bytes:
        raise _request_too_large(limits)


class UploadForm:
    """One request's multipart body.

    Each part is a file in the field `files`, or a text in another field, which is not used and is
    listed in `ignored_fields`. Any other part is an error. With `hashing` each file is digested as
    it is read.
    """

    def __init__(
        self, request: web.Request, limits: UploadLimits, *, hashing: bool = False
    ) -> None:
        self._request = request
        self._limits = limits
        self._hashing = hashing
        self._reader: asyncio.Task[object] | None = None
        self._parts = 0
        self._files = 0
        self._ignored: dict[str, None] = {}

    @property
    def ignored_fields(self) -> tuple[str, ...]:
        """Names of the text fields so far: each once, long ones cut."""
        return tuple(self._ignored)

    async def files(self) -> AsyncIterator[FilePart]:
        """Yield the files in their order. Each must be read before the next."""
        reader = FormReader(self._request.headers[hdrs.CONTENT_TYPE], self._request.content)
        while (part := await self._next(reader)) is not None:
            if (file := await self._file_of(part)) is not None:
                yield file
            elif self._parts - self._files > MAX_OTHER_PARTS:
                raise MalformedRequestError("The form has too many fields.")
        while await self._read(reader.read_epilogue()):
            pass

    async def _next(self, reader: FormReader) -> BodyPart | None:
        self._parts += 1
        return await self._read(reader.next_part())

    async def read_chunk(self, part: BodyPart) -> bytes:
        """Return the next bytes of a part, or none at its end."""
        return await self._read(part.read_chunk())

    async def _file_of(self, part: BodyPart) -> FilePart | None:
        """Return the part as a file; read a part that is none to its end, and return None."""
        field, filename = part.disposition.name, part.disposition.filename
        if field is None:
            raise MalformedRequestError(
                f"{self._place(None)} of the form has no Content-Disposition with one field name; "
                f'a file has: form-data; name="{FILES_FIELD}"; filename="…"'
            )
        if part.content_type.startswith("multipart/"):
            raise MalformedRequestError(f"{self._place(filename)} of the form is itself multipart.")
        for_files = _FILES_FIELD.fullmatch(field) is not None
        head = await self._head_of(part)
        if is_file(part, head):
            if not for_files:
                raise MalformedRequestError(
                    f"{self._place(filename)} of the form is a file in the field "
                    f"“{_shown(field)}”; send files in the field “{FILES_FIELD}”."
                )
            return self._file(part, head)
        if for_files and filename is None:
            raise MalformedRequestError(
                f"{self._place(None)} of the form is text in the field “{FILES_FIELD}”, not a file."
            )
        if not for_files:
            self._ignored[_shown(field)] = None
        while await self.read_chunk(part):
            pass
        return None

    def _place(self, filename: str | None) -> str:
        return place_and_name("Part", self._parts, filename)

    def _file(self, part: BodyPart, head: bytes) -> FilePart:
        self._files += 1
        return FilePart(
            part,
            head,
            self.read_chunk,
            place=self._files,
            max_bytes=self._limits.max_file_bytes,
            hashing=self._hashing,
        )

    async def _head_of(self, part: BodyPart) -> bytes:
        head = b""
        while len(head) < HEAD_BYTES and (chunk := await self.read_chunk(part)):
            head += chunk
        return head

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
            raise MalformedRequestError(
                f"The body is not well-formed multipart: reading stopped at part {self._parts}."
            ) from None
        finally:
            self._reader = None
        if self._request.content.total_bytes > self._limits.max_request_bytes:
            raise _request_too_large(self._limits)
        return answer


def _shown(field: str) -> str:
    """Return a field's name as answers show it: printable, and short."""
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in field)
    if len(printable) <= MAX_SHOWN_CHARACTERS:
        return printable
    return printable[: MAX_SHOWN_CHARACTERS - 1] + "…"


def _request_too_large(limits: UploadLimits) -> RequestTooLargeError:
    return RequestTooLargeError(f"The request has more than {limits.max_request_bytes} bytes.")
