"""Ends connections whose client does not read its answer: nothing else ever would."""

import asyncio
import contextlib
import fcntl
import socket
import sys
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

# The system's own buffer may hold megabytes, and is refilled only after a third of it has gone:
# a client of 100 kB/s would seem to stand still for ten seconds at a time.
_UNSENT_BYTES = 131_072
# Looks and not the clock: a process that was busy itself has looked no more often than it has sent.
_LOOKS = 4

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Answer:
    """The latest answer on a connection, and for how many looks nothing of it has been sent."""

    writer: AbstractStreamWriter
    sent: int = -1
    still: int = 0


class SlowReaderGuard:
    """Watches every connection from its first answer on.

    What counts is that bytes move, however few: a slow reader is no silent one.

    Args:
        idle_seconds: how long a client may take nothing of what waits for it.
    """

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._answers: dict[asyncio.Transport, _Answer] = {}

    def watch(self, request: web.BaseRequest) -> None:
        """Watch the answer to this request, which is about to be sent."""
        transport = request.transport
        if transport is None:
            return
        if transport not in self._answers:
            _limit_unsent(transport)
        self._answers[transport] = _Answer(request.writer)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look at all connections now and then, within the block."""
        task = asyncio.create_task(self._look_on())
        try:
            yield
        finally:
            task.cancel()

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(self._idle_seconds / _LOOKS)
            for transport, answer in list(self._answers.items()):
                self._look(transport, answer)

    def _look(self, transport: asyncio.Transport, answer: _Answer) -> None:
        waiting = transport.get_write_buffer_size()
        if not waiting and transport.is_closing():
            del self._answers[transport]
            return
        sent = answer.writer.output_size - waiting - _untaken(transport)
        if not waiting or sent != answer.sent:
            answer.sent, answer.still = sent, 0
            return
        answer.still += 1
        if answer.still == _LOOKS:
            log.info("client cut off: it does not read its answer")
            transport.abort()
            del self._answers[transport]


def _untaken(transport: asyncio.Transport) -> int:
    """Bytes that the system has been given, and the client's side has not yet taken."""
    sock = transport.get_extra_info("socket")
    try:
        raw = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(4))
    except (AttributeError, OSError):  # the client has gone
        return 0
    return int.from_bytes(raw, sys.byteorder)


def _limit_unsent(transport: asyncio.Transport) -> None:
    option: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    sock = transport.get_extra_info("socket")
    if option is None or sock is None:
        return
    with contextlib.suppress(OSError):  # the client may have gone
        sock.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_BYTES)
