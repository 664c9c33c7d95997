"""Multipart forms, byte for byte, and what the producer stored of them."""

import io
from typing import Any

from tests.integration.producer.conftest import JPEG, UPLOAD, RunningProducer

BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"h" * 2000

Response = tuple[int, Any]


def part(disposition: bytes, content: bytes, *headers: bytes, boundary: str = BOUNDARY) -> bytes:
    """Return one part of a form."""
    lines = (b"Content-Disposition: " + disposition, *headers)
    return b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary.encode(), b"\r\n".join(lines), content)


def file(name: bytes, content: bytes = JPEG, *headers: bytes) -> bytes:
    """Return a file as browsers send it."""
    return part(b'form-data; name="files"; filename="' + name + b'"', content, *headers)


def end(boundary: str = BOUNDARY) -> bytes:
    return b"--%s--\r\n" % boundary.encode()


async def post(producer: RunningProducer, body: bytes, content_type: str | None = None) -> Response:
    headers = {"Content-Type": content_type or f"multipart/form-data; boundary={BOUNDARY}"}
    return await producer.call("POST", UPLOAD, data=io.BytesIO(body), headers=headers)


async def taken(producer: RunningProducer) -> list[tuple[str | None, bytes]]:
    """Return names and contents of the accepted files."""
    messages = [message for _, message in await producer.messages()]
    return [(m.filename, (producer.folder / (m.object or "")).read_bytes()) for m in messages]


async def nothing_left(producer: RunningProducer) -> bool:
    return not producer.files() and not await producer.messages()
