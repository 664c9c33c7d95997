"""Clients that send or read slowly, or not at all."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest

from producer import app
from tests.integration.producer.conftest import (
    JPEG,
    RunningProducer,
    StartProducer,
    eventually,
)
from tests.integration.producer.test_hostile import HEAD, request

pytestmark = pytest.mark.integration

SECONDS = 30
IDLE_SECONDS = 1.0
RESULT = b"c" * 800_000

Path = Callable[[RunningProducer], Awaitable[str]]


async def big_result(producer: RunningProducer) -> str:
    _, body = await producer.upload(("a.jpg", JPEG))
    await producer.finish_next(RESULT)
    return f"/tasks_storage/{body['task_id']}/output/covered_a.webp"


async def document(producer: RunningProducer) -> str:
    return "/openapi.json"


async def asset(producer: RunningProducer) -> str:
    return "/assets/swagger-ui/swagger-ui-bundle.js"


def connect(producer: RunningProducer) -> socket.socket:
    """Return a client with a small receive buffer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.connect((producer.host, producer.port))
    client.setblocking(False)
    return client


def ask(path: str, times: int = 1) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * times


def served() -> int:
    """Return the number of open connections of the producer, which runs in this process."""
    return sum("RequestHandler.start" in repr(t.get_coro()) for t in asyncio.all_tasks())


@pytest.mark.parametrize("path", [document, asset, big_result])
async def test_who_reads_nothing_is_cut_off(
    start_producer: StartProducer,
    redis_server: str,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aiohttp.web_fileresponse.NOSENDFILE", True)  # as it is with uvloop
    producer = await start_producer(redis_server, upload_idle_timeout_seconds=IDLE_SECONDS)
    wanted = await path(producer)
    await producer.session.close()
    loop = asyncio.get_running_loop()

    async def none_served() -> bool:
        return served() == 0

    async with asyncio.timeout(SECONDS):
        await eventually(none_served)
        with connect(producer) as client:
            await loop.sock_sendall(client, ask(wanted, times=400))

            async def accepted() -> bool:
                return served() == 1

            await eventually(accepted)
            await eventually(none_served, seconds=20)


async def test_who_reads_slowly_gets_it_all(
    start_producer: StartProducer, redis_server: str
) -> None:
    producer = await start_producer(redis_server, upload_idle_timeout_seconds=IDLE_SECONDS)
    wanted = await big_result(producer)
    loop, got = asyncio.get_running_loop(), 0
    async with asyncio.timeout(SECONDS):
        with connect(producer) as client:
            await loop.sock_sendall(client, ask(wanted))
            while got < len(RESULT) and (data := await loop.sock_recv(client, 32_768)):
                got += len(data)
                await asyncio.sleep(len(data) / 400_000)  # a chunk takes longer than the limit
    assert got >= len(RESULT)


async def test_a_progress_stream_may_be_quiet_for_longer(
    start_producer: StartProducer, redis_server: str
) -> None:
    producer = await start_producer(redis_server, upload_idle_timeout_seconds=0.1)
    _, body = await producer.upload(("a.jpg", JPEG))
    url = f"{producer.url}/api/v1/task-events/{body['task_id']}"
    async with asyncio.timeout(SECONDS), producer.session.get(url) as response:
        await response.content.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.5)  # nothing happens
        await producer.finish_next()
        assert b"event: end" in await response.content.read()


async def test_a_request_head_that_never_ends_is_cut_off(
    start_producer: StartProducer, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "KEEP_ALIVE_SECONDS", 0.5)
    producer = await start_producer(redis_server)
    reader, writer = await asyncio.open_connection(producer.host, producer.port)
    writer.write(b"POST /api/v1/process-task/ HTTP/1.1\r\nHost: x\r\n")

    async def drip() -> None:
        while True:
            writer.write(b"A: b\r\n")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(SECONDS):
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
    dripping.cancel()
    writer.close()
    assert (await producer.call("GET", "/health"))[0] == 200


async def test_no_read_outlives_the_upload_it_belongs_to(
    start_producer: StartProducer, redis_server: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Storage reads in a task of its own: it must end before the rest of the body is read."""
    producer = await start_producer(redis_server, upload_timeout_seconds=0.5)
    reader, writer = await asyncio.open_connection(producer.host, producer.port)
    writer.write(request(HEAD + JPEG, length=100_000))
    async with asyncio.timeout(SECONDS):
        answer = await reader.readuntil(b"\r\n")
        readers = [t for t in asyncio.all_tasks() if "chunks" in repr(t.get_coro())]
        await reader.read()  # until the server has lingered and closed
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert readers == []
    assert "Error handling request" not in caplog.text
