"""Broken, hostile and vanishing clients: a clear response or none, and no files left."""

import asyncio
import io
import random

import pytest

from tests.integration.producer.conftest import (
    JPEG,
    UPLOAD,
    RunningProducer,
    StartProducer,
    eventually,
)

HEAD = b'--B\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
OTHER = b'--B\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n'
GOOD = HEAD + JPEG + b"\r\n--B--\r\n"


async def post(
    producer: RunningProducer, body: bytes, boundary: str = "B"
) -> tuple[int, dict[str, object]]:
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    return await producer.call("POST", UPLOAD, data=io.BytesIO(body), headers=headers)


def request(body: bytes, *, length: int | None = None) -> bytes:
    """Return an upload as it is sent; `length` may declare more than there is."""
    return (
        b"POST /api/v1/process-task/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Type: multipart/form-data; boundary=B\r\n"
        b"Content-Length: %d\r\n\r\n" % (len(body) if length is None else length)
    ) + body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no boundary at all",
        b"\r\n" * 5000,
        b"x" * 300_000,  # one line that is longer than any buffer
        HEAD,
        HEAD + JPEG,
        HEAD + JPEG + b"\r\n--C--\r\n",
        HEAD.replace(b"\r\n\r\n", b"\r\n"),
        b"--B\r\n" + b"A: b\r\n" * 1000 + b"\r\nx\r\n--B--\r\n",
        b"--B\r\nA: " + b"b" * 20_000 + b"\r\n\r\nx\r\n--B--\r\n",
        b"--B\r\n\x00\xff: b\r\n\r\nx\r\n--B--\r\n",
        b'--B\r\nContent-Disposition: form-data; name="files"\r\n\r\ntext\r\n--B--\r\n',
        b"--B\r\nContent-Type: multipart/mixed; boundary=C\r\n\r\n--C\r\n\r\nx\r\n--C--\r\n",
        OTHER * 10_000 + GOOD,
    ],
    ids=range(14),
)  # fmt: skip
async def test_malformed_bodies(producer: RunningProducer, body: bytes) -> None:
    status, problem = await post(producer, body)
    assert (status, problem["status"]) == (400, 400)
    assert producer.files() == []
    assert (await post(producer, GOOD))[0] == 202


async def test_an_unknown_expectation_is_refused_as_a_problem(producer: RunningProducer) -> None:
    answer = await producer.raw(request(GOOD).replace(b"Host: x", b"Host: x\r\nExpect: a miracle"))
    assert answer.startswith(b"HTTP/1.1 417 ")
    assert b"Content-Type: application/problem+json" in answer
    assert await producer.messages() == []


async def test_a_preamble_of_a_few_lines_is_read_past(producer: RunningProducer) -> None:
    assert (await post(producer, b"Not for you:\r\n\r\n" + GOOD))[0] == 202


async def test_an_endless_preamble_is_not_read_to_its_end(producer: RunningProducer) -> None:
    """Reading it line by line would block the event loop."""
    reader, writer = await asyncio.open_connection(producer.host, producer.port)
    writer.write(request(b"\n" * 1000, length=20_000_000))
    async with asyncio.timeout(10):
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 400 ")
    writer.close()


async def test_ten_thousand_files(producer: RunningProducer) -> None:
    status, problem = await post(producer, (HEAD + JPEG + b"\r\n") * 10_000 + b"--B--\r\n")
    assert (status, problem["type"]) == (413, "urn:plate-detect:too-many-files")
    assert producer.files() == []


async def test_a_wrong_boundary(producer: RunningProducer) -> None:
    assert (await post(producer, GOOD, boundary="C"))[0] == 400


async def test_damaged_uploads_never_break_the_service(producer: RunningProducer) -> None:
    """Random damage to a well-formed body: any response but a 5xx, and no file without a task."""
    chance = random.Random(20)
    refused = 0
    for _ in range(80):
        body = bytearray(OTHER + HEAD + JPEG[:100] + b"\r\n" + GOOD[:-9] + b"\r\n--B--\r\n")
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(body))
            kind = chance.randrange(3)
            if kind == 0:
                body[place] = chance.randrange(256)
            elif kind == 1:
                del body[place : place + chance.randint(1, 60)]
            else:
                body[place:place] = chance.choice([b"\r\n", b"--B\r\n", b"--B--", b'"', b"\x00"])
        status, _ = await post(producer, bytes(body))
        assert status in (202, 400, 413, 415), bytes(body)
        refused += status != 202
    assert 5 < refused < 80
    entries = await producer.messages()
    inputs = [name for name in producer.files() if name.count("/") == 2]
    assert sorted(message.object or "" for _, message in entries) == inputs


async def test_client_that_vanishes_leaves_nothing(producer: RunningProducer) -> None:
    _, writer = await asyncio.open_connection(producer.host, producer.port)
    writer.write(request(HEAD + JPEG + b"\r\n" + HEAD + JPEG * 400, length=10_000_000))
    await writer.drain()

    async def half_stored() -> bool:
        return any(name.endswith("/input/0") for name in producer.files())

    await eventually(half_stored)
    writer.transport.abort()

    async def gone() -> bool:
        return not producer.files() and await producer.metric("plate_uploads_in_progress") == 0

    await eventually(gone)
    assert await producer.messages() == []
    assert await producer.metric('plate_tasks_refused_total{reason="client-gone"}') == 1


async def test_silent_client_is_cut_off(start_producer: StartProducer, redis_server: str) -> None:
    producer = await start_producer(redis_server, upload_idle_timeout_seconds=0.3)
    answer = await producer.raw(request(HEAD + JPEG, length=100_000))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"slow-upload" in answer
    assert producer.files() == []


async def test_dripping_client_is_cut_off(start_producer: StartProducer, redis_server: str) -> None:
    producer = await start_producer(redis_server, upload_timeout_seconds=0.5)
    reader, writer = await asyncio.open_connection(producer.host, producer.port)
    writer.write(request(HEAD + JPEG, length=100_000))

    async def drip() -> None:
        while True:
            writer.write(b"j")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())
    async with asyncio.timeout(10):
        answer = await reader.readuntil(b"\r\n")
    dripping.cancel()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")

    async def left_nothing() -> bool:
        return producer.files() == []

    await eventually(left_nothing)  # obstore removes a write that was cut off on its own threads


async def test_uploads_at_the_same_time_are_bounded(
    start_producer: StartProducer, redis_server: str
) -> None:
    producer = await start_producer(redis_server, max_concurrent_uploads=1)
    _, slow = await asyncio.open_connection(producer.host, producer.port)
    slow.write(request(HEAD + JPEG, length=100_000))

    async def occupied() -> bool:
        return await producer.metric("plate_uploads_in_progress") == 1

    await eventually(occupied)
    waiting = asyncio.create_task(post(producer, GOOD))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    slow.transport.abort()
    assert (await waiting)[0] == 202


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /api/v1/process-task/ HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    ],
    ids=["huge header", "huge path", "many headers", "TLS", "negative length"],
)
async def test_requests_that_are_not_http(producer: RunningProducer, head: bytes) -> None:
    assert b" 400 Bad Request" in (await producer.raw(head))[:30]
    assert (await producer.call("GET", "/health"))[0] == 200
