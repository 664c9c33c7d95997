"""A worker whose connection breaks when an outcome has just been written."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog

from schemas.redis import scripts
from tests.integration.worker.conftest import Bench, Start
from tests.support.pictures import scene_file

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


class Swallowing:
    """A proxy of Redis that breaks the connection instead of returning a script's response.

    Args:
        times: how many responses are lost; the script itself has run each time.
    """

    def __init__(self, server_url: str, script: str, times: int) -> None:
        self._port = int(server_url.removesuffix("/0").rpartition(":")[2])
        self._sha = hashlib.sha1(scripts.source(script).encode()).hexdigest().encode()
        self._connections: set[asyncio.Task[None]] = set()
        self.left = times
        self.url = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Accept clients at `url`."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        yield
        server.close()
        if self._connections:  # their clients are closed by now, so they end by themselves
            await asyncio.wait(self._connections, timeout=5)

    def _accept(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self._connections.add(asyncio.create_task(self._serve(client, back)))

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        redis, forth = await asyncio.open_connection("127.0.0.1", self._port)
        deaf = asyncio.Event()
        answers = asyncio.create_task(_answer(redis, back, deaf))
        try:
            while data := await client.read(1 << 16):
                if self._sha in data and self.left:
                    self.left -= 1
                    deaf.set()
                forth.write(data)
        except ConnectionError:
            pass
        answers.cancel()
        await asyncio.wait([answers])
        for writer in (forth, back):
            writer.close()
        await asyncio.gather(forth.wait_closed(), back.wait_closed(), return_exceptions=True)


async def _answer(
    redis: asyncio.StreamReader, back: asyncio.StreamWriter, deaf: asyncio.Event
) -> None:
    while data := await redis.read(1 << 16):
        if deaf.is_set():
            break
        back.write(data)
    back.close()


async def test_an_outcome_whose_response_is_lost_counts_as_done(
    bench: Bench, worker: Start, redis_server: str
) -> None:
    # Known to the server beforehand: else the lost response would be that the script is unknown.
    await bench.redis.script_load(scripts.source("finish"))
    swallowing = Swallowing(redis_server, "finish", times=2)
    async with swallowing.listening():
        with structlog.testing.capture_logs() as lines:
            async with worker(redis_url=swallowing.url) as metrics:
                await bench.publish(task_id="t1", image=scene_file(width=320))
                await bench.event("t1")
    assert swallowing.left == 0
    counts = {labels[0]: one._value.get() for labels, one in metrics.images._metrics.items()}
    outcomes = {outcome: count for outcome, count in counts.items() if count}
    assert outcomes == {"covered": 1}
    assert [line["event"] for line in lines].count("task finished") == 1
