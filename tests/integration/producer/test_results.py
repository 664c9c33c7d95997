"""Which names are results, what reading one costs, and conditional requests."""

import obstore
import pytest

from tests.integration.producer.conftest import JPEG, RunningProducer
from tests.integration.producer.test_tasks import get

pytestmark = pytest.mark.integration


async def test_a_result_costs_no_reading_of_its_whole_task(producer: RunningProducer) -> None:
    """A task may have a thousand images with a hundred detections each."""
    _, body = await producer.upload(("a.jpg", JPEG), ("b.jpg", JPEG))
    await producer.finish_next()
    await producer.redis.config_resetstat()
    path = f"/tasks_storage/{body['task_id']}/output/covered_a.webp"
    async with producer.session.get(producer.url + path) as response:
        assert response.status == 200
    assert "cmdstat_hgetall" not in await producer.redis.info("commandstats")


async def test_a_name_is_no_result_before_its_image_is_done(producer: RunningProducer) -> None:
    _, body = await producer.upload(("a.jpg", JPEG))
    entry, message = (await producer.messages())[0]
    await producer.store.begin(entry, message)
    await producer.storage.put(f"{message.task_id}/output/{message.output_name}", b"half")
    path = f"/tasks_storage/{body['task_id']}/output/covered_a.webp"
    assert (await producer.call("GET", path))[0] == 404


@pytest.mark.parametrize("name", ["%ff", "%00", "%ed%a0%80"])
async def test_a_name_that_is_no_text_is_no_result(producer: RunningProducer, name: str) -> None:
    _, body = await producer.upload(("a.jpg", JPEG))
    path = f"/tasks_storage/{body['task_id']}/output/{name}"
    assert (await producer.raw(get(path))).startswith(b"HTTP/1.1 404 ")


STALE, FUTURE = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


async def finished(producer: RunningProducer) -> str:
    """Return the URL of a result."""
    _, body = await producer.upload(("a.jpg", JPEG))
    await producer.finish_next(b"covered")
    return f"{producer.url}/tasks_storage/{body['task_id']}/output/covered_a.webp"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every object that is opened in storage; all else is read from metadata."""
    keys: list[str] = []

    async def get(store: object, key: str, **options: object) -> object:
        keys.append(key)
        return await get_async(store, key, **options)  # type: ignore[arg-type]

    get_async = obstore.get_async
    monkeypatch.setattr(obstore, "get_async", get)
    monkeypatch.setattr(obstore, "head_async", get)  # the local store opens the file for it, too
    return keys


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": " * "}, 304),
        ({"If-None-Match": '"{}"'}, 304),
        ({"If-None-Match": 'W/"{}"'}, 304),
        ({"If-None-Match": '"other", W/"a,b" ,"{}"'}, 304),
        ({"If-None-Match": '"other","*"'}, 200),
        ({"If-None-Match": "{}"}, 200),
        ({"If-None-Match": ""}, 200),
        ({"If-None-Match": '"other"', "If-Modified-Since": FUTURE}, 200),
        ({"If-None-Match": '"{}"', "If-Modified-Since": STALE}, 304),
        ({"If-Modified-Since": FUTURE}, 304),
        ({"If-Modified-Since": STALE}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": '"other", "{}"'}, 200),
        ({"If-Match": 'W/"{}"'}, 412),
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": '"{}"', "If-None-Match": '"{}"'}, 304),
        ({"If-Unmodified-Since": FUTURE}, 200),
        ({"If-Unmodified-Since": STALE}, 412),
        ({"If-Match": '"{}"', "If-Unmodified-Since": STALE}, 200),
        ({"Range": "bytes=0-2"}, 200),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_conditions_are_met_without_opening_a_file(
    producer: RunningProducer, opened: list[str], method: str, headers: dict[str, str], status: int
) -> None:
    url = await finished(producer)
    async with producer.session.head(url) as response:
        etag = response.headers["ETag"].strip('"')
        assert "Accept-Ranges" not in response.headers  # of ranges nothing is promised
    filled = {name: value.replace("{}", etag) for name, value in headers.items()}
    async with producer.session.request(method, url, headers=filled) as response:
        assert response.status == status
        body = await response.read()
        if status == 412:
            assert response.content_type == "application/problem+json"
        else:
            assert response.headers["ETag"] == f'"{etag}"'
            assert response.headers["Cache-Control"] == "private, no-cache"
            assert response.headers["Last-Modified"]
    is_sent = (method, status) == ("GET", 200)
    assert opened == ([url.partition("/tasks_storage/")[2]] if is_sent else [])
    assert (body == b"covered") == is_sent


async def test_the_lines_of_a_list_are_one_list(producer: RunningProducer) -> None:
    url = await finished(producer)
    async with producer.session.head(url) as response:
        etag = response.headers["ETag"]
    path = url.removeprefix(producer.url)
    answer = await producer.raw(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f'If-None-Match: "other"\r\nIf-None-Match: {etag}\r\n\r\n'.encode()
    )
    assert answer.startswith(b"HTTP/1.1 304 ")


async def test_head_has_the_headers_of_get(producer: RunningProducer, opened: list[str]) -> None:
    url = await finished(producer)
    async with producer.session.head(url) as response:
        assert await response.read() == b""
        head = response
    assert opened == []
    async with producer.session.get(url) as response:
        assert await response.read() == b"covered"
    for name in ("Content-Length", "Content-Type", "ETag", "Last-Modified", "Cache-Control"):
        assert head.headers[name] == response.headers[name], name
    assert head.headers["Content-Length"] == "7"


async def test_no_condition_finds_a_file_that_is_gone(producer: RunningProducer) -> None:
    url = await finished(producer)
    await producer.storage.delete(url.partition("/tasks_storage/")[2])
    for headers in ({}, {"If-None-Match": "*"}, {"If-Match": "*"}):
        for method in ("GET", "HEAD"):
            async with producer.session.request(method, url, headers=headers) as response:
                assert response.status == 404


async def test_every_route_for_get_answers_head(producer: RunningProducer) -> None:
    url = await finished(producer)
    task_id = url.split("/")[-3]
    for path in (
        "/", "/docs", "/redoc", "/docs/stream", "/openapi.json", "/asyncapi.json",
        "/assets/docs.js", "/health", "/ready", "/metrics",
        f"/api/v1/task-status/{task_id}", f"/api/v1/task-events/{task_id}", "/nothing",
        "/api/v1/task-events/unknown", url.removeprefix(producer.url),
    ):  # fmt: skip
        options = {"allow_redirects": False}
        async with producer.session.get(producer.url + path, **options) as response:
            get = response
            await response.read()
        async with producer.session.head(producer.url + path, **options) as response:
            assert response.status == get.status, path
            assert response.headers["Content-Type"] == get.headers["Content-Type"], path
            if path != "/metrics":  # which counts these requests
                assert response.headers.get("Content-Length") == get.headers.get("Content-Length")
            assert await response.read() == b""
    assert await producer.metric("plate_event_streams") == 0
