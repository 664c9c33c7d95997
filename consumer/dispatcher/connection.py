"""The socket of webhooks: a response that has arrived is read, even if the request broke off."""

import socket
from collections.abc import Iterable
from typing import Any


class ResponseKeepingSocket(socket.socket):
    """A socket that reports a broken connection to its reader, not to its writer.

    A receiver may respond before it has read the request (401, 413, 429) and close. Its system then
    resets the connection, so the next write fails while the response waits to be read. Event loops
    close a transport whose write has failed, and lose what it has not read. Here such a write
    succeeds, and the transport ends when reading has reached the end of the response or the reset.

    Only asyncio's own event loop writes through this object; uvloop uses the file descriptor.
    """

    def send(self, data: Any, flags: int = 0, /) -> int:
        """Send as usual; drop everything if the connection is closed."""
        try:
            return super().send(data, flags)
        except (BrokenPipeError, ConnectionResetError):
            return memoryview(data).nbytes

    def sendmsg(self, buffers: Iterable[Any], /, *args: Any) -> int:
        """Do the same for several buffers."""
        held = list(buffers)
        try:
            return super().sendmsg(held, *args)
        except (BrokenPipeError, ConnectionResetError):
            return sum(memoryview(buffer).nbytes for buffer in held)
