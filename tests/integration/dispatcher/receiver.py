"""A backend that receives webhooks: a real HTTP server whose responses a test prescribes."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from multidict import CIMultiDictProxy

from consumer.settings import DispatcherSettings
from tests.integration.dispatcher.conftest import World

Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    """One POST as it arrived. `at` is in seconds of the event loop's clock.

    `peer` is the sender's end of the connection: host and port.
    """

    path: str
    headers: CIMultiDictProxy[str]
    body: bytes
    at: float
    peer: tuple[str, int]

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]


def respond(status: int, **headers: str) -> Behaviour:
    async def behave(_: web.Request) -> web.StreamResponse:
        return web.Response(
            status=status, headers={name.replace("_", "-"): v for name, v in headers.items()}
        )

    return behave


def wait_for(event: asyncio.Event) -> Behaviour:
    """Respond with 200 after the event."""

    async def behave(_: web.Request) -> web.StreamResponse:
        await event.wait()
        return web.Response()

    return behave


async def reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def rude(*pieces: bytes) -> Behaviour:
    """Send bytes that need not be HTTP, the last of them until the sender closes the connection."""

    async def behave(request: web.Request) -> web.StreamResponse:
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        for piece in pieces[:-1]:
            transport.write(piece)
        while not transport.is_closing():
            if transport.get_write_buffer_size() < 1 << 20:
                transport.write(pieces[-1])
            await asyncio.sleep(0)
        return web.Response()

    return behave


class Receiver:
    """Responds as prescribed, one after the other; the last one repeats. Without any: 200."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self._behaviours = list(behaviours) or [respond(200)]
        self._changed = asyncio.Condition()
        self.received: list[Received] = []
        self.in_flight = 0
        self.max_in_flight = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    async def posts(self, count: int) -> list[Received]:
        """Wait for the first `count` posts."""
        async with asyncio.timeout(15), self._changed:
            await self._changed.wait_for(lambda: len(self.received) >= count)
        return self.received[:count]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        behaviour = self._behaviours[min(len(self.received), len(self._behaviours) - 1)]
        async with self._changed:
            now = asyncio.get_running_loop().time()
            assert request.transport is not None
            peer = request.transport.get_extra_info("peername")
            self.received.append(Received(request.path, request.headers, body, now, peer))
            self.in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
            self._changed.notify_all()
        try:
            return await behaviour(request)
        finally:
            self.in_flight -= 1


@asynccontextmanager
async def listening(
    receiver: Receiver, port: int = 0, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", receiver.handle)  # GET: what follows a redirect
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
        await site.start()
        receiver.port = runner.addresses[0][1]
        yield receiver
    finally:
        await runner.cleanup()


def both(world: World, receiver: Receiver, **values: object) -> DispatcherSettings:
    """Settings of a dispatcher that sends both webhooks to a receiver."""
    return world.settings(
        backend_upload_url=f"http://127.0.0.1:{receiver.port}/upload",
        backend_callback_url=f"http://127.0.0.1:{receiver.port}/callback",
        **values,
    )


def callback(world: World, receiver: Receiver, **values: object) -> DispatcherSettings:
    """Settings of a dispatcher that sends only callbacks."""
    return world.settings(backend_callback_url=receiver.url, **values)
