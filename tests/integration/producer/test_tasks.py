"""Status, progress, results and deletion; the tests do the worker's part."""

import asyncio
import json
import os
from urllib.parse import quote

import aiohttp
import pytest

from producer.routes import events
from schemas.contract.errors import ImageErrorCode
from schemas.contract.tasks import ImageFailure, ImageResult
from tests.integration.producer.conftest import (
    JPEG,
    RunningProducer,
    StartProducer,
    eventually,
)

UNKNOWN = "a1b2c3d4-e5f6-7890-1234-567890abcdef"
BAD_IDS = ["x" * 65, "a%0A", "a%00", "%2e%2e", "a.b", "a%2Fb", "%D1%84"]


async def test_result_is_served_at_its_url(producer: RunningProducer) -> None:
    _, body = await producer.upload(("мой файл?#%.jpg", JPEG))
    covered = b"RIFF" + b"c" * 3_000_000
    await producer.finish_next(covered)

    _, state = await producer.call("GET", f"/api/v1/task-status/{body['task_id']}")
    assert state["status"] == "completed"
    (result,) = state["results"]
    assert result["filename"] == "covered_мой файл_#_.webp"
    async with producer.session.get(
        aiohttp.client.URL(producer.url + result["url"], encoded=True)
    ) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "image/webp"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.content_length == len(covered)
        assert await response.read() == covered
        etag = response.headers["ETag"]
    url = aiohttp.client.URL(producer.url + result["url"], encoded=True)
    async with producer.session.get(url, headers={"If-None-Match": etag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    async with producer.session.head(url) as response:
        assert (response.status, response.content_length) == (200, len(covered))


async def test_partial_failure_is_in_the_status(producer: RunningProducer) -> None:
    _, body = await producer.upload(("a.jpg", JPEG), ("b.jpg", JPEG))
    await producer.finish_next()
    entry, message = (await producer.messages())[0]
    failure = ImageFailure(
        index=1, filename="b.jpg", code=ImageErrorCode.CORRUPT_IMAGE, detail="no"
    )
    await producer.store.begin(entry, message)
    await producer.store.finish(entry, message, failure, {})

    _, state = await producer.call("GET", f"/api/v1/task-status/{body['task_id']}")
    assert state["status"] == "completed"
    assert [r["filename"] for r in state["results"]] == ["covered_a.webp"]
    assert [e["code"] for e in state["errors"]] == ["corrupt_image"]


async def test_a_result_names_its_file_also_while_the_task_runs(producer: RunningProducer) -> None:
    _, body = await producer.upload(("a.jpg", JPEG), ("a.png", JPEG))
    await producer.store.begin(*(await producer.messages())[0])
    entry, message = (await producer.messages())[1]
    await producer.store.begin(entry, message)
    await producer.store.finish(entry, message, ImageResult(filename="b.webp", url="/b"), {})

    _, state = await producer.call("GET", f"/api/v1/task-status/{body['task_id']}")
    assert state["status"] == "processing"
    assert state["results"] == [{"index": 1, "filename": "b.webp", "url": "/b"}]


@pytest.mark.parametrize("task_id", [UNKNOWN, *BAD_IDS])
async def test_unknown_tasks(producer: RunningProducer, task_id: str) -> None:
    for method, path in (
        ("GET", f"/api/v1/task-status/{task_id}"),
        ("GET", f"/api/v1/task-events/{task_id}"),
        ("DELETE", f"/api/v1/tasks/{task_id}"),
        ("GET", f"/tasks_storage/{task_id}/output/covered_a.webp"),
    ):
        url = aiohttp.client.URL(producer.url + path, encoded=True)
        async with producer.session.request(method, url) as response:
            body = await response.json(content_type=None)
            assert (response.status, body["status"]) == (404, 404), path
            assert response.content_type == "application/problem+json"


async def test_only_listed_outputs_are_served(producer: RunningProducer) -> None:
    _, body = await producer.upload(("a.jpg", JPEG), ("b.jpg", JPEG))
    await producer.finish_next()
    task_id = body["task_id"]
    # There, but not listed: what a worker has put but not finished.
    await producer.storage.put(f"{task_id}/output/covered_b.webp", b"early")
    base = f"/tasks_storage/{task_id}"

    for path in (
        f"{base}/output/covered_b.webp", f"{base}/output/", f"{base}/output", f"{base}/output/.",
        f"{base}/input/0", f"{base}/input/1", f"{base}/output/..%2Finput%2F1",
        f"{base}/output/../input/1", f"{base}/output/%2e%2e/input/1", f"{base}/output/..",
        f"{base}/output/%00", f"{base}/output/covered_a.webp%00",
        f"{base}/output/covered_a.webp%20",
        f"{base}/output/covered_a.webp/", f"{base}/output//covered_a.webp",
        f"{base}/output/{quote('../../' + task_id + '/input/1', safe='')}",
        f"/tasks_storage/{task_id}", "/tasks_storage/", f"//tasks_storage/{task_id}/input/1",
        f"{base}/output/covered_a.webp%ff", f"{base}/output/COVERED_A.webp",
    ):  # fmt: skip
        answer = await producer.raw(get(path))
        assert answer.startswith(b"HTTP/1.1 404 "), path
        assert JPEG not in answer, path
    answer = await producer.raw(get(f"{base}/output/covered_a.webp"))
    assert answer.startswith(b"HTTP/1.1 200 ")


def get(path: str) -> bytes:
    """Return a request whose path no client library has normalised."""
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


async def test_result_whose_file_is_gone(producer: RunningProducer) -> None:
    _, body = await producer.upload(("a.jpg", JPEG))
    await producer.finish_next()
    await producer.storage.delete_prefix(f"{body['task_id']}/")
    path = f"/tasks_storage/{body['task_id']}/output/covered_a.webp"
    assert (await producer.call("GET", path))[0] == 404


async def test_result_that_breaks_off_is_not_taken_for_whole(
    start_producer: StartProducer, redis_server: str
) -> None:
    producer = await start_producer(redis_server, upload_idle_timeout_seconds=1)
    _, body = await producer.upload(("a.jpg", JPEG))
    await producer.finish_next(b"c" * 60_000_000)  # more than the sockets' buffers hold
    path = f"/tasks_storage/{body['task_id']}/output/covered_a.webp"
    async with asyncio.timeout(20), producer.session.get(producer.url + path) as response:
        assert response.status == 200
        os.truncate(producer.folder / body["task_id"] / "output" / "covered_a.webp", 0)
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    assert (await producer.call("GET", "/health"))[0] == 200


async def test_delete_takes_files_and_results(producer: RunningProducer) -> None:
    _, body = await producer.upload(("a.jpg", JPEG), ("b.jpg", JPEG))
    await producer.finish_next()
    path = f"/tasks_storage/{body['task_id']}/output/covered_a.webp"
    async with producer.session.get(producer.url + path) as response:
        assert response.status == 200

    for _ in range(2):  # a repeat is no error: it finishes what failed half-way
        assert await producer.call("DELETE", f"/api/v1/tasks/{body['task_id']}") == (204, None)
    assert producer.files() == []
    assert (await producer.call("GET", path))[0] == 404
    _, state = await producer.call("GET", f"/api/v1/task-status/{body['task_id']}")
    assert (state["status"], state["results"]) == ("failed", [])
    assert {e["code"] for e in state["errors"]} == {"deleted"}


async def test_events_report_each_change_until_the_end(producer: RunningProducer) -> None:
    _, body = await producer.upload(("a.jpg", JPEG), ("b.jpg", JPEG))
    seen: list[tuple[str, str, int]] = []

    async def listen() -> None:
        url = f"{producer.url}/api/v1/task-events/{body['task_id']}"
        async with producer.session.get(url) as response:
            assert response.content_type == "text/event-stream"
            async for line in response.content:  # ends when the server closes the stream
                field, _, value = line.decode().strip().partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    state = json.loads(value)
                    seen.append((name, state["status"], state["progress"]["done"]))

    async def seen_done(count: int) -> None:
        async def enough() -> bool:
            return bool(seen) and seen[-1][2] == count

        await eventually(enough)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(listen())
        await seen_done(0)
        await producer.finish_next()
        await seen_done(1)
        await producer.finish_next()
    # Between the begin and the end of the first image there may be a read.
    assert [state for state in seen if state != ("progress", "processing", 0)] == [
        ("progress", "pending", 0), ("progress", "processing", 1), ("end", "completed", 2),
    ]  # fmt: skip
    assert await producer.metric("plate_event_streams") == 0


async def test_the_end_is_signalled(
    producer: RunningProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MIN_PAUSE_SECONDS", 60.0)
    monkeypatch.setattr(events, "MAX_PAUSE_SECONDS", 60.0)
    _, body = await producer.upload(("a.jpg", JPEG))
    url = f"{producer.url}/api/v1/task-events/{body['task_id']}"
    async with asyncio.timeout(15), producer.session.get(url) as response:
        assert b"event: progress" in await response.content.readline()
        await producer.finish_next()
        rest = await response.content.read()
    assert b"event: end" in rest
    assert b"completed" in rest


async def test_event_streams_are_limited_and_given_back(
    start_producer: StartProducer, redis_server: str
) -> None:
    producer = await start_producer(redis_server, max_event_streams=1)
    _, body = await producer.upload(("a.jpg", JPEG))
    path = f"/api/v1/task-events/{body['task_id']}"
    async with producer.session.get(producer.url + path):
        status, problem = await producer.call("GET", path)
        assert (status, problem["type"]) == (503, "urn:plate-detect:too-busy")

    async def free_again() -> bool:
        return await producer.metric("plate_event_streams") == 0

    await eventually(free_again)  # the client above has gone
    async with producer.session.get(producer.url + path) as response:
        assert response.status == 200


async def test_events_end_when_the_task_expires(producer: RunningProducer) -> None:
    _, body = await producer.upload(("a.jpg", JPEG))
    url = f"{producer.url}/api/v1/task-events/{body['task_id']}"
    async with asyncio.timeout(10), producer.session.get(url) as response:
        await response.content.readuntil(b"\r\n\r\n")
        await producer.redis.delete(producer.keys.task(body["task_id"]))
        assert b"event" not in await response.content.read()
