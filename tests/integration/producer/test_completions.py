"""Watching for completions, whatever is on the stream and while Redis is unavailable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from structlog.testing import capture_logs

from producer.services.completions import Completions

pytestmark = pytest.mark.integration

STREAM = "{plates}:events"


@asynccontextmanager
async def running(url: str) -> AsyncIterator[Completions]:
    async with Redis.from_url(url, retry=Retry(NoBackoff(), 0)) as reader:
        completions = Completions(reader, STREAM)
        async with completions.running():
            yield completions


@pytest.mark.parametrize("strange", [{"task_id": b"\xff"}, {"task_id": b""}, {b"\xff": b"\xff"}])
async def test_an_event_of_no_readable_task_stops_no_watching(
    redis_server: str, strange: dict[str | bytes, bytes]
) -> None:
    async with (
        Redis.from_url(redis_server) as redis,
        running(redis_server) as completions,
        completions.watch("t1") as woken,
        asyncio.timeout(10),
    ):
        await redis.xadd(STREAM, strange)  # type: ignore[arg-type]
        await redis.xadd(STREAM, {"task_id": "t1"})
        await woken.wait()


async def test_an_outage_of_redis_is_one_line_and_reading_goes_on() -> None:
    attempts = 0
    enough = asyncio.Event()

    def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()
        if attempts == 3:
            enough.set()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with capture_logs() as lines:
        async with (
            server,
            running(f"redis://127.0.0.1:{port}") as completions,
            completions.watch("t1"),
            asyncio.timeout(20),
        ):
            await enough.wait()
    assert [line["event"] for line in lines] == ["interrupted"]
