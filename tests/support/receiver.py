"""A backend that receives both webhooks and keeps them."""

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web


@dataclass
class Upload:
    """One upload webhook as a common multipart parser reads it."""

    webhook_id: str
    task_id: str
    images: dict[str, bytes]
    content_types: set[str]


@dataclass
class Receiver:
    """The webhooks received; the first `refuse` requests get 503."""

    refuse: int = 0
    uploads: list[Upload] = field(default_factory=list)
    callbacks: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refused: int = 0
    url: str = ""

    async def upload(self, request: web.Request) -> web.Response:
        """`POST /upload`: form field task_id and repeated files `images`."""
        upload = Upload(request.headers["webhook-id"], "", {}, set())
        # Part by part: `request.post()` would leave temporary files behind when it is cut off.
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            if part.name == "task_id":
                upload.task_id = await part.text()
                continue
            assert part.name == "images"
            assert part.filename
            upload.images[part.filename] = bytes(await part.read())
            upload.content_types.add(part.headers["Content-Type"])
        if self._refuses():
            return web.Response(status=503)
        self.uploads.append(upload)
        return web.Response()

    async def callback(self, request: web.Request) -> web.Response:
        """`POST /callback`: JSON."""
        body = await request.json()
        if self._refuses():
            return web.Response(status=503)
        self.callbacks.append((request.headers["webhook-id"], body))
        return web.Response()

    def _refuses(self) -> bool:
        if self.refused < self.refuse:
            self.refused += 1
            return True
        return False


@contextmanager
def receiving(
    refuse: int = 0, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1"
) -> Iterator[Receiver]:
    """Run a receiver on a free port in a thread; over https with `tls`."""
    receiver, loop = Receiver(refuse), asyncio.new_event_loop()
    app = web.Application(client_max_size=1 << 30)
    app.add_routes([web.post("/upload", receiver.upload), web.post("/callback", receiver.callback)])
    runner = web.AppRunner(app, access_log=None)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, address, 0, ssl_context=tls).start()
        scheme = "http" if tls is None else "https"
        receiver.url = f"{scheme}://{address}:{runner.addresses[0][1]}"

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield receiver
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
