"""Splitting a multipart body into its parts, without losing any.

aiohttp's MultipartReader loses some: it drops a field `_charset_` and everything before the first
boundary and after the closing one, and it reads a part after a damaged boundary as content of the
part before. So only the content of one part and the header lines are read with aiohttp's classes.
"""

import re
from collections.abc import AsyncIterator

from aiohttp import BodyPartReader, StreamReader, hdrs
from aiohttp.http import HeadersParser

from producer.errors import MalformedRequestError
from producer.services.part_headers import header_parameters, parse_disposition

MAX_PREAMBLE_LINES = 100

_MAX_BOUNDARY_CHARACTERS = 70  # RFC 2046
_MAX_LINE_BYTES = 8190
_MAX_HEADERS = 128
_READ_BYTES = 65_536
_OVERLAP_BYTES = 128
# Every part of a form has this, and no image does.
_PART = re.compile(rb"(?i:\nContent-Disposition[ \t]{0,64}:)")


class BodyPart:
    """One part: what its headers say, and its content to be read once.

    `field` and `filename` are None if there is no Content-Disposition, or more than one.
    `content_type` is the declared media type; it and `transfer_encoding` are in lower case.
    """

    def __init__(self, content: BodyPartReader) -> None:
        headers = content.headers
        dispositions = headers.getall(hdrs.CONTENT_DISPOSITION, [])
        disposition = dispositions[0] if len(dispositions) == 1 else ""
        self.field, self.filename = parse_disposition(disposition.encode(errors="surrogateescape"))
        self.content_type = headers.get(hdrs.CONTENT_TYPE, "").partition(";")[0].strip().lower()
        self.transfer_encoding = headers.get(hdrs.CONTENT_TRANSFER_ENCODING, "").strip().lower()
        self._content = content
        self._before = b""

    async def read_chunk(self) -> bytes:
        """Return the next bytes, or none at the end.

        Raises:
            MalformedRequestError: the content has the headers of another part in it.
            ValueError, AssertionError: there is no boundary before the end of the body.
        """
        chunk = b""
        while not chunk and not self._content.at_eof():
            chunk = await self._content.read_chunk(_READ_BYTES)
        seam = self._before + chunk[:_OVERLAP_BYTES]
        self._before = (self._before + chunk[-_OVERLAP_BYTES:])[-_OVERLAP_BYTES:]
        if _has_part(seam) or _has_part(chunk):
            raise MalformedRequestError(
                "The body is not well-formed multipart: a part is within the content of another."
            )
        return chunk


async def read_parts(content_type: str, content: StreamReader) -> AsyncIterator[BodyPart]:
    """Yield the parts of a body in their order. Each must be read to its end before the next.

    Raises:
        MalformedRequestError: the Content-Type names no usable boundary, or another part follows
            the closing boundary.
        ValueError, HttpProcessingError: the body is not multipart.
    """
    delimiter = b"--" + _boundary(content_type)
    line = await _first_delimiter(content, delimiter)
    while line == delimiter:
        yield BodyPart(await _part(content, delimiter))
        line = await _line(content)
    if line != delimiter + b"--":
        raise ValueError("something other than the boundary follows a part")
    window = b"\n"
    while chunk := await content.read(_READ_BYTES):
        window = window[-_OVERLAP_BYTES:] + chunk
        if _may_be_part(window, delimiter):
            raise MalformedRequestError("The body has another part after its closing boundary.")


def _boundary(content_type: str) -> bytes:
    parameters = header_parameters(content_type.encode(errors="surrogateescape"))
    boundary = parameters.get("boundary", [""])[0]
    if not 0 < len(boundary) <= _MAX_BOUNDARY_CHARACTERS or not boundary.isascii():
        raise MalformedRequestError(
            f"The Content-Type names no boundary of 1 to {_MAX_BOUNDARY_CHARACTERS} ASCII "
            "characters."
        )
    return boundary.encode()


async def _first_delimiter(content: StreamReader, delimiter: bytes) -> bytes:
    # Clients send nothing before it. Without the limit, a body of line ends only would block the
    # event loop for a second per MiB.
    for _ in range(MAX_PREAMBLE_LINES):
        line = await _line(content)
        if line.startswith(b"--"):
            return line
        if _may_be_part(b"\n" + line, delimiter):
            raise ValueError("a part before the first boundary")
    raise ValueError("too many lines before the first boundary")


async def _line(content: StreamReader) -> bytes:
    line = await content.readline()
    if not line:
        raise ValueError("the body ends without a boundary")
    return line.rstrip()


async def _part(content: StreamReader, delimiter: bytes) -> BodyPartReader:
    lines = []
    while line := await content.readline(max_line_length=_MAX_LINE_BYTES):
        lines.append(line.rstrip(b"\r\n"))
        if not lines[-1]:
            # Lax: accepts folded lines (Python's email) and control characters in names.
            parser = HeadersParser(max_field_size=_MAX_LINE_BYTES, lax=True)
            headers, _ = parser.parse_headers(lines)
            return BodyPartReader(delimiter, headers, content, subtype="form-data")
        if len(lines) > _MAX_HEADERS:
            raise ValueError("a part has too many headers")
    raise ValueError("the body ends within a part's headers")


def _may_be_part(outside: bytes, delimiter: bytes) -> bool:
    return b"\n--" in outside or delimiter in outside or _has_part(outside)


def _has_part(content: bytes) -> bool:
    # The search for fixed bytes is much faster than the one for the expression.
    named = b"isposition" in content or b"ISPOSITION" in content
    return named and _PART.search(content) is not None
