"""Reading the files of a multipart form, chunk by chunk and within limits."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from aiohttp import ClientError, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from producer.errors import (
    ClientGoneError,
    FileTooLargeError,
    MalformedRequestError,
    RequestTooLargeError,
    SlowUploadError,
    TooManyFilesError,
    UnsupportedTypeError,
)
from producer.services.multipart import BodyPart, read_parts
from producer.settings import ProducerSettings
from schemas.contract.formats import (
    ACCEPTED,
    HEAD_BYTES,
    accepted_format,
    binary_format,
    text_format,
)
from schemas.contract.names import base_name

FILES_FIELD = "files"
MAX_OTHER_PARTS = 100
MAX_SHOWN_CHARACTERS = 100

_CHUNK_BYTES = 262_144
_ENCODED_AS_TEXT = {"base64", "quoted-printable"}
# PHP, Rails, jQuery and axios mark a field that may be repeated.
_FILES_FIELD = re.compile(rf"{FILES_FIELD}(\[[^\[\]]*\])?")

T = TypeVar("T")


def check_headers(request: web.Request, settings: ProducerSettings) -> None:
    """Refuse what the headers already show, before any byte of the body is read."""
    # Not `request.content_type`: that fails on parameters with some charsets.
    media_type = request.headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0]
    if media_type.strip().lower() != "multipart/form-data":
        raise MalformedRequestError(
            f"Send multipart/form-data with one or more files in the field “{FILES_FIELD}”."
        )
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise UnsupportedTypeError("A compressed request body is not supported.")
    _check_request_size(request.content_length or 0, settings)


class FormFile:
    """One file of a form, to be read once from start to end.

    `filename` is as the client sent it, empty if there is none; `size` (bytes) is of what was read.

    Args:
        head: its first bytes, which are read already.
        read: returns its next bytes, or none at the end.
        label: names the file in errors.
    """

    def __init__(
        self,
        filename: str,
        head: bytes,
        read: Callable[[], Awaitable[bytes]],
        *,
        label: str,
        max_bytes: int,
    ) -> None:
        self.filename = filename
        self.size = 0
        self._head = head
        self._read = read
        self._label = label
        self._max_bytes = max_bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield pieces of about 256 KiB: each costs storage a switch of threads.

        Raises:
            FileTooLargeError: the file has more than `max_bytes`.
        """
        gathered, chunk = bytearray(), self._head
        while chunk:
            self.size += len(chunk)
            if self.size > self._max_bytes:
                raise FileTooLargeError(f"{self._label} has more than {self._max_bytes} bytes.")
            gathered += chunk
            if len(gathered) >= _CHUNK_BYTES:
                yield bytes(gathered)
                gathered.clear()
            chunk = await self._read()
        if gathered:
            yield bytes(gathered)


class UploadForm:
    """One request's multipart body.

    Each part is a file in the field `files`, or a text in another field, which is not used and is
    listed in `ignored_fields`. Any other part is an error.
    """

    def __init__(self, request: web.Request, settings: ProducerSettings) -> None:
        self._request = request
        self._settings = settings
        self._reader: asyncio.Task[object] | None = None
        self._parts = 0
        self._files = 0
        self._ignored: dict[str, None] = {}

    @property
    def ignored_fields(self) -> tuple[str, ...]:
        """Names of the text fields so far: each once, long ones cut."""
        return tuple(self._ignored)

    async def files(self) -> AsyncIterator[FormFile]:
        """Yield the files in their order. Each must be read before the next.

        The first bytes decide what a file is; its declared type and its name's ending do not
        count.
        """
        parts = read_parts(self._request.headers[hdrs.CONTENT_TYPE], self._request.content)
        while (part := await self._next(parts)) is not None:
            head = await self._head_of(part)
            if self._is_file(part, head):
                yield self._file(part, head)
            elif self._parts - self._files > MAX_OTHER_PARTS:
                raise MalformedRequestError("The form has too many fields.")
            else:
                while await self._read(part.read_chunk()):
                    pass

    async def stop(self) -> None:
        """End a read that goes on although its result is no longer wanted.

        Storage reads in tasks of its own, which outlive a write that failed or was cancelled. They
        would compete for the body with the next reader, and part of it would vanish.
        """
        reader = self._reader
        if reader is not None and reader is not asyncio.current_task():
            reader.cancel()
            await asyncio.wait([reader], timeout=self._settings.upload_idle_timeout_seconds)

    async def _next(self, parts: AsyncIterator[BodyPart]) -> BodyPart | None:
        self._parts += 1
        part = await self._read(anext(parts, None))
        if part is None:
            return None
        if part.field is None:
            raise MalformedRequestError(
                f"{self._place(None)} of the form has no Content-Disposition with one field name; "
                f'a file has: form-data; name="{FILES_FIELD}"; filename="…"'
            )
        if part.content_type.startswith("multipart/"):
            raise MalformedRequestError(
                f"{self._place(part.filename)} of the form is itself multipart."
            )
        return part

    async def _head_of(self, part: BodyPart) -> bytes:
        head = b""
        while len(head) < HEAD_BYTES and (chunk := await self._read(part.read_chunk())):
            head += chunk
        return head

    def _is_file(self, part: BodyPart, head: bytes) -> bool:
        """Return whether a part is a file; raise if its field does not fit that."""
        field = part.field or ""
        for_files = _FILES_FIELD.fullmatch(field) is not None
        if _has_file(part, head):
            if not for_files:
                raise MalformedRequestError(
                    f"{self._place(part.filename)} of the form is a file in the field "
                    f"“{_shown(field)}”; send files in the field “{FILES_FIELD}”."
                )
            return True
        if not for_files:
            self._ignored[_shown(field)] = None
        elif part.filename is None:
            raise MalformedRequestError(
                f"{self._place(None)} of the form is text in the field “{FILES_FIELD}”, not a file."
            )
        return False

    def _file(self, part: BodyPart, head: bytes) -> FormFile:
        max_files = self._settings.max_files
        if self._files == max_files:
            raise TooManyFilesError(f"A task has at most {max_files} images.")
        self._files += 1
        label = _named("File", self._files, part.filename)
        encoding = part.transfer_encoding
        if encoding in _ENCODED_AS_TEXT:
            raise MalformedRequestError(
                f"{label} has the Content-Transfer-Encoding {encoding}; send its bytes as they are."
            )
        if accepted_format(head) is None:
            raise UnsupportedTypeError(
                f"{label} is {_format_of(head)}; only {ACCEPTED} images are accepted."
            )
        return FormFile(
            part.filename or "",
            head,
            lambda: self._read(part.read_chunk()),
            label=label,
            max_bytes=self._settings.max_file_size_bytes,
        )

    def _place(self, filename: str | None) -> str:
        return _named("Part", self._parts, filename)

    async def _read(self, reading: Awaitable[T]) -> T:
        self._reader = asyncio.current_task()
        try:
            async with asyncio.timeout(self._settings.upload_idle_timeout_seconds):
                result = await reading
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
        _check_request_size(self._request.content.total_bytes, self._settings)
        return result


def _check_request_size(size: int, settings: ProducerSettings) -> None:
    limit = settings.max_request_bytes
    if size > limit:
        raise RequestTooLargeError(f"The request has more than {limit} bytes.")


def _has_file(part: BodyPart, head: bytes) -> bool:
    """Return whether a part is a file, by its headers and its first bytes.

    A part with a file name is a file, even if its field should hold text. So is a part without one
    whose content or type is an image's. Browsers send a file field in which nothing was chosen with
    an empty name and without content; that is no file.
    """
    if part.filename is not None:
        return bool(part.filename or head)
    is_image = accepted_format(head) is not None or binary_format(head) is not None
    return is_image or part.content_type.startswith("image/")


def _format_of(head: bytes) -> str:
    unknown = "of an unknown format" if head else "empty"
    return binary_format(head) or text_format(head) or unknown


def _named(kind: str, place: int, filename: str | None) -> str:
    """Return `File 2 (“car.jpg”)`; `place` counts from 1, and the name is without its path."""
    return f"{kind} {place} (“{base_name(filename)}”)" if filename else f"{kind} {place}"


def _shown(field: str) -> str:
    """Return a field's name as responses show it: printable, and short."""
    printable = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in field)
    if len(printable) <= MAX_SHOWN_CHARACTERS:
        return printable
    return printable[: MAX_SHOWN_CHARACTERS - 1] + "…"
