"""The client with a real producer; what a worker does, the test does."""

import asyncio
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from plate_detect_client import (
    AsyncClient,
    Client,
    NotFoundError,
    PlateDetectError,
    ProblemError,
    RequestError,
    RetryPolicy,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
    WaitTimeoutError,
)
from plate_detect_client.steps import MAX_BODY_BYTES
from tests.integration.client.conftest import Connect, RunningProducer, StartProducer
from tests.integration.dispatcher.receiver import Receiver, listening, respond
from tests.integration.producer.conftest import JPEG, PNG, eventually
from tests.integration.producer.lossy import Lossy
from tests.support.ports import free_port

pytestmark = pytest.mark.integration

NAMES = ["plain.jpg", "фото №1.jpg", '12" wheel.png', "a;b=c.jpg"]


async def test_images_from_disk_and_memory_come_back_covered(
    producer: RunningProducer, connect: Connect, tmp_path: Path
) -> None:
    contents = [JPEG + bytes(300_000), JPEG + b"1", PNG, JPEG + b"3"]
    for name, content in zip(NAMES[:2], contents, strict=False):
        (tmp_path / name).write_bytes(content)
    seen = []
    async with connect(producer.url) as client:
        task_id = await client.submit(
            [
                tmp_path / NAMES[0],
                str(tmp_path / NAMES[1]),
                *zip(NAMES[2:], contents[2:], strict=True),
            ]
        )
        messages = [message for _, message in await producer.messages()]
        assert [message.filename for message in messages] == NAMES
        stored = [(producer.folder / (message.object or "")).read_bytes() for message in messages]
        assert stored == contents

        started = asyncio.Event()
        loop = asyncio.get_running_loop()

        def see(state: object) -> None:
            seen.append(state)
            loop.call_soon_threadsafe(started.set)

        waiting = asyncio.create_task(client.wait(task_id, on_progress=see))
        async with asyncio.timeout(20):
            await started.wait()
        sent = [(await producer.finish_next(f"covered {n}".encode())).output_name for n in range(4)]
        state = await waiting
        assert state.status == "completed"
        assert seen[-1] == state
        assert len(seen) > 1

        covered = {name: f"covered {at}".encode() for at, name in enumerate(sent)}
        assert await client.results(task_id) == covered
        paths = await client.save(state, tmp_path / "out")
        assert {path.name: path.read_bytes() for path in paths} == covered
        assert sorted((tmp_path / "out").iterdir()) == sorted(paths)

        with (tmp_path / "own").open("w+b") as file:
            file.write(b"of an attempt that was cut off, and longer than what comes")
            await client.fetch_into(task_id, sent[2], file)
        assert (tmp_path / "own").read_bytes() == covered[sent[2]]

        await client.delete(task_id)
        gone = await client.status(task_id)
        assert {failure.code for failure in gone.errors} == {"deleted"}
        with pytest.raises(NotFoundError, match="no such result"):
            await client.results(state)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_lost_response_makes_no_second_task(
    producer: RunningProducer, connect: Connect, times: int
) -> None:
    lossy = Lossy(producer.url)

    async def lost() -> bool:
        return lossy.lost >= times

    async with lossy.listening():
        url = lossy.url.replace("redis://", "http://").removesuffix("/0")
        async with connect(url) as client:
            lossy.deaf = True
            sending = asyncio.create_task(client.submit([("a.jpg", JPEG)]))
            await eventually(lost)
            lossy.deaf = False
            task_id = await sending
    assert [message.task_id for _, message in await producer.messages()] == [task_id]


async def test_an_upload_that_failed_can_be_finished_with_its_key(
    producer: RunningProducer, connect: Connect
) -> None:
    lossy = Lossy(producer.url)
    async with lossy.listening():
        url = lossy.url.replace("redis://", "http://").removesuffix("/0")
        async with connect(url, retry=RetryPolicy(total_seconds=0)) as client:
            lossy.deaf = True
            with pytest.raises(UnreachableError) as failed:
                await client.submit([("a.jpg", JPEG)])
            lossy.deaf = False
            task_id = await client.submit(
                [("a.jpg", JPEG)], idempotency_key=failed.value.idempotency_key
            )
    assert [message.task_id for _, message in await producer.messages()] == [task_id]


async def test_a_full_service_is_reported_with_its_problem(
    start_producer: StartProducer, redis_server: str, connect: Connect
) -> None:
    full = await start_producer(redis_server, max_backlog_images=1)
    await full.upload(("first.jpg", JPEG))
    retry = RetryPolicy(total_seconds=1)  # less than the service asks to wait
    async with connect(full.url, retry=retry) as client:
        with pytest.raises(UnavailableError) as refused:
            await client.submit([("a.jpg", JPEG)], idempotency_key="mine")
    problem = refused.value.problem
    assert refused.value.retry_after_seconds == 15
    assert (problem.status, problem.type) == (503, "urn:plate-detect:backlog-full")
    assert refused.value.idempotency_key == "mine"


async def test_503_is_repeated_after_the_time_that_it_names(connect: Connect) -> None:
    answers = [respond(503, Retry_After="0"), respond(429), respond(502), respond(204)]
    receiver = Receiver(*answers)
    async with listening(receiver), connect(f"http://127.0.0.1:{receiver.port}/below/") as client:
        await client.delete("t1")
    assert [post.path for post in receiver.received] == ["/below/api/v1/tasks/t1"] * 4


@pytest.mark.parametrize("status", [301, 400, 500])
async def test_what_a_repeat_cannot_mend_is_not_repeated(connect: Connect, status: int) -> None:
    receiver = Receiver(respond(status))
    async with listening(receiver), connect(f"http://127.0.0.1:{receiver.port}") as client:
        with pytest.raises(ProblemError) as failed:
            await client.delete("t1")
    assert failed.value.problem.status == status
    assert len(receiver.received) == 1


async def test_a_response_has_a_limited_length(connect: Connect) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(MAX_BODY_BYTES >> 20):
            await response.write(bytes(1 << 20))
        await response.write(b"x")
        return response

    receiver = Receiver(endless)
    async with listening(receiver), connect(f"http://127.0.0.1:{receiver.port}") as client:
        with pytest.raises(PlateDetectError, match="more than"):
            await client.status("t1")


async def test_a_refused_file_is_named(producer: RunningProducer, connect: Connect) -> None:
    async with connect(producer.url) as client:
        with pytest.raises(RequestError, match=r"cat\.gif.*GIF") as refused:
            await client.submit([("car.jpg", JPEG), ("cat.gif", b"GIF89a" + bytes(100_000))])
    assert refused.value.problem.type == "urn:plate-detect:unsupported-type"
    assert refused.value.problem.status == 415


async def test_the_api_key_is_sent(
    start_producer: StartProducer, redis_server: str, connect: Connect
) -> None:
    key = "k" * 40
    closed = await start_producer(redis_server, api_keys=key)
    async with connect(closed.url, key) as client:
        task_id = await client.submit([("a.jpg", JPEG)])
        name = (await closed.finish_next()).output_name
        assert await client.results(await client.wait(task_id)) == {name: b"covered"}
    async with connect(closed.url, "wrong") as client:
        with pytest.raises(UnauthorizedError):
            await client.wait(task_id)


async def test_without_progress_streams_the_status_is_polled(
    start_producer: StartProducer, redis_server: str, connect: Connect
) -> None:
    busy = await start_producer(redis_server, max_event_streams=0)
    async with connect(busy.url) as client:
        task_id = await client.submit([("a.jpg", JPEG)])
        await busy.finish_next()
        assert (await client.wait(task_id)).status == "completed"


async def test_a_wait_ends_in_time(producer: RunningProducer, connect: Connect) -> None:
    async with connect(producer.url) as client:
        task_id = await client.submit([("a.jpg", JPEG)])
        with pytest.raises(WaitTimeoutError) as late:
            await client.wait(task_id, timeout_seconds=0.3)
        assert late.value.state is not None
        assert late.value.state.status == "pending"
        with pytest.raises(NotFoundError):
            await client.status("unknown")


async def test_a_service_that_is_not_there_is_unreachable(connect: Connect) -> None:
    retry = RetryPolicy(total_seconds=0.1, base_seconds=0.01)
    async with connect(f"http://127.0.0.1:{free_port()}", retry=retry) as client:
        with pytest.raises(UnreachableError):
            await client.status("t1")


async def test_an_address_without_a_scheme_is_refused_at_once(connect: Connect) -> None:
    async with connect("localhost:8000", retry=RetryPolicy(base_seconds=60)) as client:
        with pytest.raises(UnreachableError):
            await client.status("t1")
        with pytest.raises(UnreachableError):
            await client.wait("t1", timeout_seconds=100)


async def test_an_own_http_client_is_used_and_left_open() -> None:
    receiver = Receiver(respond(204))
    async with listening(receiver):
        url, headers = f"http://127.0.0.1:{receiver.port}", {"X-Own": "yes"}
        async with httpx.AsyncClient(headers=headers) as asynchronous:
            async with AsyncClient(url, http=asynchronous) as client:
                await client.delete("t1")
            assert not asynchronous.is_closed
        with httpx.Client(headers=headers) as plain:
            with Client(url, http=plain) as client_in_thread:
                await asyncio.to_thread(client_in_thread.delete, "t1")
            assert not plain.is_closed
    assert [post.headers["X-Own"] for post in receiver.received] == ["yes", "yes"]
