"""ALLOWED_ORIGINS: how browsers let pages of other origins use the service."""

import asyncio
from collections.abc import Mapping

import pytest

from producer.settings import ProducerSettings
from schemas.settings.base import SettingsError
from tests.integration.producer.conftest import JPEG, UPLOAD, RunningProducer, StartProducer

pytestmark = pytest.mark.integration
KEY = "the-only-key-of-the-test"
PAGE, OTHER = "https://app.example.org", "http://localhost:3000"


@pytest.fixture
async def shared(start_producer: StartProducer, redis_server: str) -> RunningProducer:
    """A producer for two origins, with keys."""
    return await start_producer(
        redis_server, allowed_origins=f" https://App.example.org:443,{OTHER},", api_keys=KEY
    )


def listed(headers: Mapping[str, str], name: str) -> set[str]:
    return {part.strip().lower() for part in headers.get(name, "").split(",") if part.strip()}


async def preflight(
    producer: RunningProducer, method: str, path: str, *asked: str, origin: str = PAGE
) -> tuple[int, Mapping[str, str]]:
    headers = {"Origin": origin, "Access-Control-Request-Method": method}
    if asked:
        headers["Access-Control-Request-Headers"] = ",".join(asked)
    async with producer.session.options(producer.url + path, headers=headers) as response:
        return response.status, response.headers


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("POST", UPLOAD, ["x-api-key", "idempotency-key", "traceparent", "tracestate"]),
        ("POST", UPLOAD.rstrip("/"), ["authorization"]),
        ("GET", "/api/v1/task-status/t", ["x-api-key"]),
        ("GET", "/api/v1/task-events/t", ["authorization", "last-event-id", "cache-control"]),
        ("GET", "/tasks_storage/t/output/a.webp", ["if-none-match", "x-api-key"]),
        ("DELETE", "/api/v1/tasks/t", ["x-api-key"]),
        ("GET", "/nothing", []),
    ],
)
async def test_preflight(shared: RunningProducer, method: str, path: str, asked: list[str]) -> None:
    for origin in (PAGE, OTHER):
        status, headers = await preflight(shared, method, path, *asked, origin=origin)
        assert status == 204
        assert headers["Access-Control-Allow-Origin"] == origin
        assert method.lower() in listed(headers, "Access-Control-Allow-Methods")
        assert set(asked) <= listed(headers, "Access-Control-Allow-Headers")
        assert "origin" in listed(headers, "Vary")
        assert "Access-Control-Allow-Credentials" not in headers


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "https://app.example.org.evil.example", f"{PAGE}/",
     "http://app.example.org", "https://app.example.org:8443", "*", ""],
)  # fmt: skip
async def test_other_origins_get_no_headers(shared: RunningProducer, origin: str) -> None:
    status, headers = await preflight(shared, "POST", UPLOAD, "x-api-key", origin=origin)
    assert status == 405
    async with shared.session.get(shared.url + "/health", headers={"Origin": origin}) as response:
        assert response.status == 200
    for found in (headers, response.headers):
        assert not [name for name in found if name.lower().startswith("access-control-")]
        assert "origin" in listed(found, "Vary")


async def test_every_answer_can_be_read(start_producer: StartProducer, redis_server: str) -> None:
    producer = await start_producer(
        redis_server, allowed_origins=PAGE, api_keys=KEY, max_file_size_bytes=3000
    )
    key = {"X-API-Key": KEY}
    _, body = await producer.upload(("a.jpg", JPEG), headers=key)
    await producer.finish_next()
    task_id = body["task_id"]
    result = f"/tasks_storage/{task_id}/output/covered_a.webp"
    for method, path, headers, expected in [
        ("GET", f"/api/v1/task-status/{task_id}", key, 200),
        ("GET", f"/api/v1/task-events/{task_id}", key, 200),
        ("GET", result, key, 200),
        ("HEAD", result, key, 200),
        ("GET", result, key | {"If-None-Match": "*"}, 304),
        ("GET", result, key | {"If-Match": '"x"'}, 412),
        ("GET", result, {}, 401),
        ("POST", UPLOAD, {}, 401),
        ("POST", UPLOAD, key, 400),
        ("GET", "/api/v1/task-status/unknown", key, 404),
        ("GET", "/nothing", key, 404),
        ("PUT", UPLOAD, key, 405),
        ("GET", "/", {}, 200),
        ("GET", "/assets/docs.js", {}, 200),
        ("DELETE", f"/api/v1/tasks/{task_id}", key, 204),
    ]:
        async with (
            asyncio.timeout(20),
            producer.session.request(
                method,
                producer.url + path,
                headers=headers | {"Origin": PAGE},
                allow_redirects=False,
            ) as response,
        ):
            assert response.status == expected, path
            assert response.headers.getall("Access-Control-Allow-Origin") == [PAGE], path
            exposed = listed(response.headers, "Access-Control-Expose-Headers")
            assert {"location", "etag", "retry-after", "www-authenticate"} <= exposed
            assert "origin" in listed(response.headers, "Vary")
    status, _ = await producer.upload(("a.jpg", JPEG * 2), headers=key)
    assert status == 413


async def test_refused_upload_can_be_read(shared: RunningProducer) -> None:
    """Its response is sent before its body has been read, by code of its own."""
    head = (
        f"POST {UPLOAD} HTTP/1.1\r\nHost: x\r\nOrigin: {PAGE}\r\nX-API-Key: {KEY}\r\n"
        "Content-Length: 5000000000\r\nContent-Type: multipart/form-data; boundary=B\r\n\r\n"
    )
    answer = await shared.raw(head.encode())
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert f"\r\nAccess-Control-Allow-Origin: {PAGE}\r\n".encode() in answer


async def test_any_origin(start_producer: StartProducer, redis_server: str) -> None:
    producer = await start_producer(redis_server, allowed_origins="*")
    status, headers = await preflight(producer, "POST", UPLOAD, "x-api-key", origin="null")
    assert (status, headers["Access-Control-Allow-Origin"]) == (204, "*")
    async with producer.session.get(producer.url + "/health") as response:
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert "Vary" not in response.headers


async def test_without_the_setting_there_are_no_headers(producer: RunningProducer) -> None:
    status, headers = await preflight(producer, "POST", UPLOAD)
    assert status == 405
    async with producer.session.get(producer.url + "/health", headers={"Origin": PAGE}) as answer:
        assert answer.status == 200
    for found in (headers, answer.headers):
        assert not {name for name in found if name.lower().startswith(("access-control", "vary"))}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ()),
        ("*", ("*",)),
        ("HTTPS://App.Example.org:443", ("https://app.example.org",)),
        (
            "http://localhost:3000, http://[::1]:3000",
            ("http://localhost:3000", "http://[::1]:3000"),
        ),
        ("https://пример.рф", ("https://xn--e1afmkfd.xn--p1ai",)),
        ("capacitor://localhost", ("capacitor://localhost",)),
        ("https://a.example,https://a.example", ("https://a.example",)),
    ],
)
def test_origins_are_kept_as_browsers_write_them(given: str, kept: tuple[str, ...]) -> None:
    assert ProducerSettings(_env_file=None, allowed_origins=given).allowed_origins == kept


@pytest.mark.parametrize(
    "given",
    ["app.example.org", "https://app.example.org/", "https://app.example.org/path", "null",
     "https://*.example.org", "https://", "https://a.example:99999", "https://a.example?x",
     "https://user@a.example", "https://a.example https://b.example", f"{PAGE},b.example"],
)  # fmt: skip
def test_what_is_no_origin_stops_the_start(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", given)
    with pytest.raises(SettingsError, match=r"^ALLOWED_ORIGINS=.*an origin like") as caught:
        ProducerSettings.load()
    assert "\n" not in str(caught.value)
