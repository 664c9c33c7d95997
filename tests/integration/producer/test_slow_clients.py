"""Clients that take their time, on either side of the point where a request becomes one."""

import asyncio
import contextlib

import pytest

from producer import app
from tests.integration.producer.conftest import JPEG, StartProducer
from tests.integration.producer.test_hostile import HEAD, request

SECONDS = 10


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
    """Storage reads in a task of its own: it must end before the rest of the body is read on."""
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
