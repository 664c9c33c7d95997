"""A program: an HTTP proxy before a server, which responds slowly, badly or not at all at times.

    python -m tests.support.faulty_proxy PORT CONTROL_PORT TARGET

`PUT /` on the control port sets the faults and returns how many of each kind there were so far.
"""

import asyncio
import random
import sys
from collections import Counter
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

STALL_SECONDS = 5.0
KINDS = ("error", "late_error", "reset", "cut", "stall")
"""500 without and with the request forwarded; the connection reset before and in the middle of a
response; a response that comes late."""

_OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding"}


@dataclass
class FaultyProxy:
    """Forwards requests. `chances`: probability of each kind of fault for a request."""

    target: str
    session: aiohttp.ClientSession
    chances: dict[str, float] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    requests: Counter[str] = field(default_factory=Counter)

    async def control(self, request: web.Request) -> web.Response:
        """`PUT /`: JSON object of chances."""
        chances = await request.json()
        assert set(chances) <= set(KINDS)
        self.chances = chances
        return web.json_response({"faults": self.done, "requests": self.requests})

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Forward a request, or do what a faulty server does."""
        body = await request.read()
        self.requests[_call(request)] += 1
        fault = self._choose()
        if fault is not None:
            self.done[fault] += 1
        if fault == "stall":
            await asyncio.sleep(STALL_SECONDS)
        elif fault == "error":
            return web.Response(status=500)
        elif fault == "reset":
            return self._reset(request)
        status, headers, content = await self._forward(request, body)
        if fault == "late_error":
            return web.Response(status=500)
        if fault == "cut":
            return await self._cut(request, status, headers, content)
        return web.Response(status=status, headers=headers, body=content)

    def _choose(self) -> str | None:
        point = random.random()
        for kind, chance in self.chances.items():
            point -= chance
            if point < 0:
                return kind
        return None

    async def _forward(
        self, request: web.Request, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        headers = _forwarded(request.headers.items())
        url = URL(self.target + request.raw_path, encoded=True)
        async with self.session.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as response:
            content = await response.read()
        return response.status, _forwarded(response.headers.items()), content

    @staticmethod
    def _reset(request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _cut(
        self, request: web.Request, status: int, headers: dict[str, str], content: bytes
    ) -> web.StreamResponse:
        """Send the head and half of a response, then reset the connection."""
        if request.method == "HEAD" or not content:
            return self._reset(request)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(content)
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        self._reset(request)
        return response


def _call(request: web.Request) -> str:
    """Return what a request of S3 does, as far as tests count it."""
    if request.method == "POST" and "delete" in request.query:
        return "delete_many"
    if request.method == "GET" and "list-type" in request.query:
        return "list"
    return request.method.lower()


def _forwarded(headers: object) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() not in _OF_ONE_CONNECTION}  # type: ignore[attr-defined]


async def main(port: int, control_port: int, target: str) -> None:
    """Serve until the process is killed."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        proxy = FaultyProxy(target, session)
        for number, method, handler in (
            (port, "*", proxy.handle), (control_port, "PUT", proxy.control),
        ):  # fmt: skip
            app = web.Application(client_max_size=1 << 30)
            app.router.add_route(method, "/{path:.*}", handler)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            await web.TCPSite(runner, None, number).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
