"""A TCP proxy on loopback whose connections a test can cut."""

import asyncio
import random
import threading
from types import TracebackType
from typing import Self

from tests.support.ports import free_port


class Proxy:
    """Forwards its own loopback port to another one, in a thread."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")

    def __enter__(self) -> Self:
        self._loop.run_until_complete(self._listen())
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self, share: float, rng: random.Random) -> int:
        """Break about this share of the connections, both ends at once; return how many."""
        chance = rng.random()
        return asyncio.run_coroutine_threadsafe(
            self._cut(share, random.Random(chance)), self._loop
        ).result(10)

    async def _cut(self, share: float, rng: random.Random) -> int:
        chosen = [link for link in self._links if rng.random() < share]
        for link in chosen:
            link.abort()
        return len(chosen)

    async def _listen(self) -> None:
        self._server = await self._loop.create_server(self._accept, "127.0.0.1", self.port)

    async def _close(self) -> None:
        self._server.close()
        for link in list(self._links):
            link.abort()
        await asyncio.sleep(0)

    def _accept(self) -> "_Link":
        return _Link(self._loop, self._target_port, self._links)


class _Link(asyncio.Protocol):
    """The client's end of one connection."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, target_port: int, links: "set[_Link]"
    ) -> None:
        self._loop = loop
        self._target_port = target_port
        self._links = links
        self._client: asyncio.Transport | None = None
        self._server: asyncio.Transport | None = None
        self._early: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._client = transport
        self._links.add(self)
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            transport, _ = await self._loop.create_connection(
                lambda: _Upstream(self), "127.0.0.1", self._target_port
            )
        except OSError:
            self.abort()
            return
        self._server = transport
        if self not in self._links:
            transport.abort()
            return
        for data in self._early:
            transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self._server is None:
            self._early.append(data)
        else:
            self._server.write(data)

    def forward(self, data: bytes) -> None:
        """Forward data of the server."""
        if self._client is not None:
            self._client.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.abort()

    def abort(self) -> None:
        """Break both ends; data in transit is lost."""
        self._links.discard(self)
        for transport in (self._client, self._server):
            if transport is not None:
                transport.abort()


class _Upstream(asyncio.Protocol):
    """The server's end."""

    def __init__(self, link: _Link) -> None:
        self._link = link

    def data_received(self, data: bytes) -> None:
        self._link.forward(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._link.abort()
