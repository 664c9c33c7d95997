"""Streams that are written to a bucket: small ones are sent whole."""

from collections.abc import AsyncGenerator, AsyncIterator

PART_BYTES = 5 << 20
"""A part of a write in parts, as of obstore."""


async def at_once(chunks: AsyncIterator[bytes]) -> bytes | AsyncIterator[bytes]:
    """Return a small object as bytes: a bucket takes them in one request instead of three.

    An object that does not fit into one part is streamed.
    """
    head = bytearray()
    async for chunk in chunks:
        head += chunk
        if len(head) > PART_BYTES:
            return _joined(bytes(head), chunks)
    return bytes(head)


async def _joined(head: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    yield head
    async for chunk in rest:
        yield chunk
