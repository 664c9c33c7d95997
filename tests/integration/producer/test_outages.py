"""Uploads while Redis or storage is unavailable, full or slow."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from producer.errors import BacklogFullError, UnsettledSubmitError
from producer.services.submit import Submitter
from schemas.contract.messages import ImageMessage
from schemas.redis.client import connect_blocking
from schemas.redis.keys import Keys
from schemas.redis.task_store import TaskStore
from schemas.settings.base import Settings
from tests.integration.producer.conftest import (
    JPEG,
    UPLOAD,
    RunningProducer,
    StartProducer,
    eventually,
)
from tests.integration.producer.lossy import Lossy
from tests.support.redis_server import RedisServer


@pytest.fixture
async def lossy(redis_server: str) -> AsyncIterator[Lossy]:
    """A fixture to name before those that connect through it, so that it ends after them."""
    between = Lossy(redis_server)
    async with between.listening():
        yield between


async def stopped(producer: RunningProducer) -> None:
    """Upload and check that the response names Redis, and comes soon."""
    async with asyncio.timeout(8):
        status, problem = await producer.upload(("a.jpg", JPEG))
    assert (status, problem["type"]) == (503, "urn:plate-detect:redis-away")


async def test_redis_down_and_back(start_producer: StartProducer, own_redis: RedisServer) -> None:
    producer = await start_producer(own_redis.url)
    _, body = await producer.upload(("a.jpg", JPEG))
    before = producer.files()
    own_redis.kill()

    await stopped(producer)
    for path in (f"task-status/{body['task_id']}", f"task-events/{body['task_id']}"):
        async with producer.session.get(f"{producer.url}/api/v1/{path}") as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
    assert (await producer.call("GET", "/health"))[0] == 200
    status, problem = await producer.call("GET", "/ready")
    assert (status, problem["detail"]) == (503, "Redis cannot be reached")
    assert str(await producer.metric("plate_backlog_images")) == "nan"
    assert producer.files() == before

    own_redis.start()
    assert (await producer.upload(("b.jpg", JPEG)))[0] == 202
    assert (await producer.call("GET", f"/api/v1/task-status/{body['task_id']}"))[0] == 200


async def test_events_outlive_a_restart_of_redis(
    start_producer: StartProducer, own_redis: RedisServer
) -> None:
    producer = await start_producer(own_redis.url)
    _, body = await producer.upload(("a.jpg", JPEG))
    url = f"{producer.url}/api/v1/task-events/{body['task_id']}"
    async with asyncio.timeout(30), producer.session.get(url) as response:
        await response.content.readuntil(b"\r\n\r\n")
        own_redis.kill()
        await asyncio.sleep(0.6)  # the state is read at least once meanwhile
        own_redis.start()
        await producer.finish_next()
        assert b"event: end" in await response.content.read()


async def test_backlog_full(start_producer: StartProducer, redis_server: str) -> None:
    producer = await start_producer(redis_server, max_backlog_images=3)
    assert (await producer.upload(("a", JPEG), ("b", JPEG)))[0] == 202
    before = producer.files()

    # There is room for one more, but a task is taken whole or not at all.
    status, problem = await producer.upload(("c", JPEG), ("d", JPEG))
    assert (status, problem["type"]) == (503, "urn:plate-detect:backlog-full")
    assert producer.files() == before
    assert (await producer.call("GET", "/ready"))[0] == 200
    assert (await producer.upload(("e", JPEG)))[0] == 202

    async def full() -> bool:  # readiness is at most a second old
        return (await producer.call("GET", "/ready"))[1].get("detail") == "the backlog is full"

    await eventually(full)
    # Now it is refused before the body: no client is asked to send it.
    answer = await producer.raw(
        b"POST /api/v1/process-task/ HTTP/1.1\r\nHost: x\r\nContent-Length: 500000000\r\n"
        b"Content-Type: multipart/form-data; boundary=B\r\nExpect: 100-continue\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: " in answer
    assert b"Connection: close" in answer


async def test_more_images_than_the_backlog_may_hold_are_refused_for_good(
    start_producer: StartProducer, redis_server: str
) -> None:
    producer = await start_producer(redis_server, max_backlog_images=2)
    status, problem = await producer.upload(("a", JPEG), ("b", JPEG), ("c", JPEG))
    assert status == 413
    assert "2" in problem["detail"]
    assert (await producer.upload(("a", JPEG), ("b", JPEG)))[0] == 202


async def test_refusal_reaches_a_client_that_only_sends(
    start_producer: StartProducer, redis_server: str
) -> None:
    """Many clients read nothing until all is sent; their 8 MB are read and dropped."""
    producer = await start_producer(redis_server, max_backlog_images=1)
    assert (await producer.upload(("a", JPEG)))[0] == 202
    body = b"x" * 8_000_000
    reader, writer = await asyncio.open_connection(producer.host, producer.port)
    writer.write(
        b"POST /api/v1/process-task/ HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n"
        b"Content-Type: multipart/form-data; boundary=B\r\n\r\n"
    )
    for start in range(0, len(body), 1_000_000):
        writer.write(body[start : start + 1_000_000])
        await writer.drain()
    assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
    writer.close()


async def test_redis_full(start_producer: StartProducer, own_redis: RedisServer) -> None:
    producer = await start_producer(own_redis.url)
    assert (await producer.upload(("a.jpg", JPEG)))[0] == 202
    before = producer.files()
    await producer.redis.config_set("maxmemory", 1)

    status, problem = await producer.upload(("b.jpg", JPEG))
    assert (status, problem["type"]) == (503, "urn:plate-detect:redis-full")
    assert producer.files() == before
    await producer.finish_next()  # work in flight goes on

    await producer.redis.config_set("maxmemory", 0)
    assert (await producer.upload(("b.jpg", JPEG)))[0] == 202


async def test_a_lost_response_is_asked_for_again(
    lossy: Lossy, start_producer: StartProducer, redis_server: str
) -> None:
    async with asyncio.timeout(30):
        producer = await start_producer(lossy.url)
        # The first upload makes the connections and loads the script.
        assert (await producer.upload(("a.jpg", JPEG)))[0] == 202
        # The producer reads the backlog before the body, so the loss begins after that.
        reader, writer = await asyncio.open_connection(producer.host, producer.port)
        head = b'--B\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
        body = head + JPEG + b"\r\n--B--\r\n"
        writer.write(
            b"POST " + UPLOAD.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            b"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: %d\r\n\r\n"
            % len(body)
            + body[:-20]
        )

        async def body_wanted() -> bool:
            return await producer.metric("plate_uploads_in_progress") == 1

        await eventually(body_wanted)
        lossy.deaf = True
        writer.write(body[-20:])

        async def answer_lost() -> bool:
            return lossy.lost > 0

        await eventually(answer_lost)
        async with Redis.from_url(redis_server) as redis:
            assert await redis.xlen(producer.keys.images) == 2  # accepted, unknown to the producer
            lossy.deaf = False
            answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 202 ")
            assert await redis.xlen(producer.keys.images) == 2
        assert sum(name.endswith("/input/0") for name in producer.files()) == 2


async def test_outcome_that_stays_unknown(lossy: Lossy) -> None:
    def task(task_id: str) -> list[ImageMessage]:
        return [ImageMessage(task_id=task_id, total=1, object=f"{task_id}/input/0")]

    async with asyncio.timeout(30):
        redis = connect_blocking(Settings(_env_file=None, redis_url=lossy.url), block_seconds=0)
        store = TaskStore(redis, Keys("{plates}"), task_ttl_ms=60_000)
        submitter = Submitter(store, max_backlog=2, timeout_seconds=0.5)
        await submitter.submit("first", task("first"))
        lossy.deaf = True
        with pytest.raises(UnsettledSubmitError):
            await submitter.submit("second", task("second"))
        lossy.deaf = False
        assert await store.backlog() == 2  # it was accepted: its files must stay
        await submitter.submit("second", task("second"))  # and a repeat finds out
        with pytest.raises(BacklogFullError):
            await submitter.submit("third", task("third"))
        await redis.aclose()


async def test_refusal_after_a_lost_response_settles_nothing(lossy: Lossy) -> None:
    def task(task_id: str) -> list[ImageMessage]:
        return [ImageMessage(task_id=task_id, total=1, object=f"{task_id}/input/0")]

    async with asyncio.timeout(30):
        redis = connect_blocking(Settings(_env_file=None, redis_url=lossy.url), block_seconds=0)
        store = TaskStore(redis, Keys("{plates}"), task_ttl_ms=60_000)
        submitter = Submitter(store, max_backlog=1, timeout_seconds=5)
        await submitter.submit("first", task("first"))
        with pytest.raises(BacklogFullError):
            await submitter.submit("second", task("second"))
        lossy.mute = True
        with pytest.raises(UnsettledSubmitError):
            await submitter.submit("second", task("second"))
        assert not lossy.mute
        await redis.aclose()


def block(folder: Path) -> None:
    """Put a file where the folder should be."""
    folder.rmdir()
    folder.write_bytes(b"")


def unblock(folder: Path) -> None:
    folder.unlink()


async def test_storage_unavailable(producer: RunningProducer) -> None:
    block(producer.folder)

    status, problem = await producer.upload(("a.jpg", JPEG))
    assert (status, problem["type"]) == (503, "urn:plate-detect:storage-away")
    assert await producer.messages() == []
    status, problem = await producer.call("GET", "/ready")
    assert (status, problem["detail"]) == (503, "the storage cannot be written")

    unblock(producer.folder)
    assert (await producer.upload(("a.jpg", JPEG)))[0] == 202
