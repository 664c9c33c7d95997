"""A customer's backend: receives both webhooks and remembers what it got."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Upload:
    """One upload webhook as a common multipart parser sees it."""

    webhook_id: str
    task_id: str
    images: dict[str, bytes]
    content_types: set[str]


@dataclass
class Receiver:
    """What has arrived; `refuse` makes it answer 503 to so many requests first."""

    refuse: int = 0
    uploads: list[Upload] = field(default_factory=list)
    callbacks: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refused: int = 0
    url: str = ""

    async def upload(self, request: web.Request) -> web.Response:
        """`POST /upload`: form field task_id and repeated files `images`."""
        form = await request.post()
        if self._refuses():
            return web.Response(status=503)
        images = form.getall("images")
        assert all(isinstance(image, web.FileField) for image in images)
        files = [image for image in images if isinstance(image, web.FileField)]
        self.uploads.append(
            Upload(
                request.headers["webhook-id"],
                str(form["task_id"]),
                {image.filename: image.file.read() for image in files},
                {image.content_type for image in files},
            )
        )
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
def receiving(refuse: int = 0) -> Iterator[Receiver]:
    """A receiver on a free loopback port, on a thread of its own."""
    receiver, loop = Receiver(refuse), asyncio.new_event_loop()
    app = web.Application(client_max_size=1 << 30)
    app.add_routes([web.post("/upload", receiver.upload), web.post("/callback", receiver.callback)])
    runner = web.AppRunner(app, access_log=None)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

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
