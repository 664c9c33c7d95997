"""A connection to Redis that loses requests or responses, as a real network may."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Lossy:
    """Stands between a client and Redis.

    While `deaf`, requests arrive but responses are lost; the one request after `mute` is set does
    not arrive. The client cannot distinguish these two.
    """

    def __init__(self, server_url: str) -> None:
        self._server_port = int(server_url.removesuffix("/0").rpartition(":")[2])
        self._connections: set[asyncio.Task[None]] = set()
        self.url = ""
        self.deaf = False
        self.mute = False
        self.lost = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Accept clients at `url`."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        yield
        server.close()
        # Their clients are closed by now, so they end by themselves; not so after a failed test.
        if self._connections:
            _, left = await asyncio.wait(self._connections, timeout=5)
            for connection in left:
                connection.cancel()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_redis, to_redis = await asyncio.open_connection("127.0.0.1", self._server_port)
        answers = asyncio.create_task(self._answer(from_redis, writer))
        try:
            while (data := await reader.read(65_536)) and not self.mute:
                to_redis.write(data)
            self.mute = False
        finally:
            answers.cancel()
            to_redis.close()
            writer.close()
            await asyncio.wait([answers, *map(_closed, (to_redis, writer))])

    async def _answer(self, from_redis: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await from_redis.read(65_536):
            if self.deaf:
                self.lost += 1
                break
            writer.write(data)
        writer.close()


def _closed(writer: asyncio.StreamWriter) -> asyncio.Task[None]:
    return asyncio.create_task(writer.wait_closed())
