"""`Idempotency-Key`: one key becomes one task, however often and to which producer it is sent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
from redis.asyncio import Redis

from producer.services.idempotency import IdempotencyKeys
from producer.services.shutdown import ShieldedTasks
from schemas.redis.keys import Keys
from schemas.redis.task_store import EarlierUse, TaskStore
from tests.integration.producer.conftest import (
    JPEG,
    PNG,
    UPLOAD,
    RunningProducer,
    StartProducer,
    eventually,
)
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration
KEY = {"Idempotency-Key": "order-1"}
FILES = (("a.jpg", JPEG), ("b.png", PNG))


async def records(producer: RunningProducer) -> list[bytes]:
    return [key async for key in producer.redis.scan_iter("*idempotency*")]


@asynccontextmanager
async def half_an_upload(
    producer: RunningProducer, key: str = "order-1"
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]]:
    """An upload of `a.jpg` that stands still, with what is left to send."""
    head = b'--B\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
    body = head + JPEG + b"\r\n--B--\r\n"
    reader, writer = await asyncio.open_connection(producer.host, producer.port)
    writer.write(
        f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nIdempotency-Key: {key}\r\n"
        f"Content-Type: multipart/form-data; boundary=B\r\nContent-Length: {len(body)}\r\n\r\n"
        "".encode()
        + body[:500]
    )

    async def taken_up() -> bool:
        return await producer.metric("plate_uploads_in_progress") == 1

    await eventually(taken_up)
    try:
        yield reader, writer, body[500:]
    finally:
        writer.close()


async def test_same_key_and_body_are_one_task(producer: RunningProducer) -> None:
    first = await producer.upload(*FILES, headers=KEY)
    before = producer.files()
    assert first[0] == 202
    assert await producer.upload(*FILES, headers=KEY) == first
    assert len(await producer.messages()) == 2
    assert producer.files() == before
    assert await producer.metric("plate_tasks_accepted_total") == 1
    assert await producer.metric("plate_tasks_repeated_total") == 1

    other = await producer.upload(*FILES, headers={"Idempotency-Key": "order-2"})
    assert other[1] != first[1]
    assert (await producer.upload(*FILES))[1] not in (first[1], other[1])


async def test_key_outlives_the_end_and_the_deletion_of_its_task(
    producer: RunningProducer,
) -> None:
    first = await producer.upload(("a.jpg", JPEG), headers=KEY)
    await producer.finish_next()
    assert await producer.upload(("a.jpg", JPEG), headers=KEY) == first
    async with producer.session.delete(
        f"{producer.url}/api/v1/tasks/{first[1]['task_id']}"
    ) as response:
        assert response.status == 204
    assert await producer.upload(("a.jpg", JPEG), headers=KEY) == first
    assert await producer.messages() == []


async def test_key_is_free_when_its_task_is_gone(producer: RunningProducer) -> None:
    _, first = await producer.upload(("a.jpg", JPEG), headers=KEY)
    (record,) = await records(producer)
    task = producer.keys.task(first["task_id"])
    assert await producer.redis.pttl(record) > await producer.redis.pttl(task)
    await producer.redis.delete(task)
    status, second = await producer.upload(("b.jpg", PNG), headers=KEY)
    assert status == 202
    assert second != first


@pytest.mark.parametrize(
    "files",
    [
        (("a.jpg", JPEG), ("b.png", PNG + b"p")),
        (("a.jpg", JPEG), ("c.png", PNG)),
        (("b.png", PNG), ("a.jpg", JPEG)),
        (("a.jpg", JPEG),),
        (("a.jpg", JPEG), ("b.png", PNG), ("b.png", PNG)),
    ],
)
async def test_other_body_is_refused(
    producer: RunningProducer, files: tuple[tuple[str, bytes], ...]
) -> None:
    first = await producer.upload(*FILES, headers=KEY)
    before = producer.files()
    status, problem = await producer.upload(*files, headers=KEY)
    assert (status, problem["type"]) == (422, "urn:plate-detect:idempotency-key-reused")
    assert producer.files() == before
    assert len(await producer.messages()) == 2
    assert await producer.upload(*FILES, headers=KEY) == first  # and the key still works


@pytest.mark.parametrize("key", ["", " ", "a b", "k" * 256, "ключ", "a\tb"])
async def test_unusable_key(producer: RunningProducer, key: str) -> None:
    status, problem = await producer.upload(*FILES, headers={"Idempotency-Key": key})
    assert (status, problem["type"]) == (400, "urn:plate-detect:malformed-request")
    assert "Idempotency-Key" in problem["detail"]
    assert producer.files() == []


async def test_two_keys_are_none_and_long_ones_work(producer: RunningProducer) -> None:
    twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    assert (await producer.upload(*FILES, headers=twice))[0] == 400
    longest = {"Idempotency-Key": '"' + "~" * 253 + '"'}
    first = await producer.upload(*FILES, headers=longest)
    assert first[0] == 202
    assert await producer.upload(*FILES, headers=longest) == first


async def test_second_request_while_the_first_is_in_flight(producer: RunningProducer) -> None:
    async with half_an_upload(producer) as (reader, writer, rest):
        status, problem = await producer.upload(("a.jpg", JPEG), headers=KEY)
        assert (status, problem["type"]) == (409, "urn:plate-detect:idempotency-key-in-use")
        assert (await producer.upload(("a.jpg", JPEG), headers={"Idempotency-Key": "x"}))[0] == 202
        writer.write(rest)
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 202 ")
    status, body = await producer.upload(("a.jpg", JPEG), headers=KEY)
    assert status == 202
    assert body["task_id"].encode() in answer


async def test_many_at_once_make_one_task(producer: RunningProducer) -> None:
    answers = await asyncio.gather(*(producer.upload(*FILES, headers=KEY) for _ in range(12)))
    assert {status for status, _ in answers} <= {202, 409}
    accepted = {body["task_id"] for status, body in answers if status == 202}
    assert len(accepted) == 1
    assert len(await producer.messages()) == 2
    assert sum("/input/" in name for name in producer.files()) == 2


async def test_lease_is_renewed_while_the_upload_runs(
    start_producer: StartProducer, redis_server: str
) -> None:
    producer = await start_producer(redis_server, idempotency_lease_seconds=0.4)
    async with half_an_upload(producer) as (reader, writer, rest):
        (record,) = await records(producer)
        shortest_ms = 1000

        async def renewed() -> bool:
            nonlocal shortest_ms
            left_ms = await producer.redis.pttl(record)
            shortest_ms = min(shortest_ms, left_ms)
            return left_ms > shortest_ms + 50

        await eventually(renewed)
        assert (await producer.upload(("a.jpg", JPEG), headers=KEY))[0] == 409
        writer.write(rest)
        assert (await reader.read()).startswith(b"HTTP/1.1 202 ")


class SlowStore(TaskStore):
    """Releases keys more slowly than they are renewed."""

    calls: ClassVar[list[str]] = []

    async def reserve(self, record: str, token: str, *, lease_ms: int) -> EarlierUse | None:
        self.calls.append("reserve")
        return await super().reserve(record, token, lease_ms=lease_ms)

    async def release(self, record: str, token: str) -> None:
        self.calls.append("release")
        await asyncio.sleep(0.3)
        await super().release(record, token)


async def test_no_renewal_follows_the_release(redis_server: str) -> None:
    async with Redis.from_url(redis_server) as redis:
        store = SlowStore(redis, Keys("{plates}"), task_ttl_ms=60_000)
        keys = IdempotencyKeys(store, ShieldedTasks(), lease_seconds=0.3)
        with pytest.raises(LookupError):
            async with keys.claim("", "order-1"):
                raise LookupError
    assert store.calls == ["reserve", "release"]


async def test_refused_and_broken_uploads_give_the_key_back(producer: RunningProducer) -> None:
    assert (await producer.upload(("a.jpg", b"GIF89a" * 9), headers=KEY))[0] == 415
    assert await records(producer) == []
    async with half_an_upload(producer):
        assert len(await records(producer)) == 1

    async def given_back() -> bool:  # the client has gone
        return await records(producer) == []

    await eventually(given_back)
    assert (await producer.upload(*FILES, headers=KEY))[0] == 202


async def test_upload_that_lost_its_key_becomes_no_task(producer: RunningProducer) -> None:
    async with half_an_upload(producer) as (reader, writer, rest):
        (record,) = await records(producer)
        await producer.redis.hset(record, "token", "of another upload")
        writer.write(rest)
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 409 ")
    assert await producer.messages() == []
    assert not [name for name in producer.files() if name.endswith("/input/0")]
    assert await records(producer) == [record]  # the other's


async def test_full_backlog_refuses_what_is_new_only(
    start_producer: StartProducer, redis_server: str
) -> None:
    producer = await start_producer(redis_server, max_backlog_images=2)
    first = await producer.upload(*FILES, headers=KEY)
    status, _ = await producer.upload(*FILES, headers={"Idempotency-Key": "new"})
    assert status == 503
    assert len(await records(producer)) == 1
    assert await producer.upload(*FILES, headers=KEY) == first


async def test_full_and_absent_redis(start_producer: StartProducer, own_redis: RedisServer) -> None:
    producer = await start_producer(own_redis.url)
    first = await producer.upload(*FILES, headers=KEY)
    await producer.redis.config_set("maxmemory", 1)
    status, problem = await producer.upload(*FILES, headers={"Idempotency-Key": "new"})
    assert (status, problem["type"]) == (503, "urn:plate-detect:redis-full")
    await producer.redis.config_set("maxmemory", 0)
    own_redis.kill()
    status, problem = await producer.upload(*FILES, headers=KEY)
    assert (status, problem["type"]) == (503, "urn:plate-detect:redis-away")
    own_redis.start()
    assert await producer.upload(*FILES, headers=KEY) == first  # it was on disk


async def test_keys_belong_to_api_keys(start_producer: StartProducer, redis_server: str) -> None:
    one, two = "first-key-0123456789", "second-key-0123456789"
    producer = await start_producer(redis_server, api_keys=f"{one},{two}")

    async def upload(api_key: str, *files: tuple[str, bytes]) -> Any:
        return await producer.upload(*files, headers={**KEY, "X-API-Key": api_key})

    first, second = await upload(one, *FILES), await upload(two, ("c.jpg", JPEG))
    assert (first[0], second[0]) == (202, 202)
    assert first[1] != second[1]
    assert await upload(one, *FILES) == first
    assert await upload(two, ("c.jpg", JPEG)) == second
