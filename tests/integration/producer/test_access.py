"""API keys, and the security headers of every response."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from producer.access import OPEN_PATHS
from producer.settings import ProducerSettings
from schemas.settings.base import SettingsError
from tests.integration.producer.conftest import JPEG, UPLOAD, RunningProducer, StartProducer

pytestmark = pytest.mark.integration
KEY, OTHER = "the-first-key-of-16", "the-second-key-of-16"

GUARDED = [
    ("POST", UPLOAD),
    ("POST", UPLOAD.rstrip("/")),
    ("GET", "/api/v1/task-status/{id}"),
    ("GET", "/api/v1/task-events/{id}"),
    ("GET", "/tasks_storage/{id}/output/covered_a.webp"),
    ("HEAD", "/tasks_storage/{id}/output/covered_a.webp"),
    ("DELETE", "/api/v1/tasks/{id}"),
]


@pytest.fixture
async def locked(start_producer: StartProducer, redis_server: str) -> RunningProducer:
    return await start_producer(redis_server, api_keys=f" {KEY} ,{OTHER},")


async def finished_task(producer: RunningProducer) -> str:
    status, body = await producer.upload(("a.jpg", JPEG), headers={"X-API-Key": KEY})
    assert status == 202
    await producer.finish_next()
    return str(body["task_id"])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "the-first-key-of-17"},
        {"X-API-Key": f"{KEY},{OTHER}"},
        {"X-API-Key": "wrong", "Authorization": f"Bearer {KEY}"},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": KEY},
        {"X-API-Key": "ключ"},
    ],
)
async def test_wrong_keys_are_refused(locked: RunningProducer, headers: dict[str, str]) -> None:
    task_id = await finished_task(locked)
    before = locked.files()
    for method, path in GUARDED:
        url = locked.url + path.format(id=task_id)
        async with locked.session.request(method, url, headers=headers) as response:
            assert response.status == 401, path
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="plate-detect"'
            body = {} if method == "HEAD" else await response.json(content_type=None)
        assert method == "HEAD" or body["type"] == "urn:plate-detect:unauthorized"
    assert locked.files() == before


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": KEY},
        {"X-API-Key": OTHER},
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {OTHER}"},
    ],
)
async def test_any_key_is_accepted(locked: RunningProducer, headers: dict[str, str]) -> None:
    task_id = await finished_task(locked)  # of the first key: any key sees every task
    for method, path in GUARDED[2:]:
        url = locked.url + path.format(id=task_id)
        async with locked.session.request(method, url, headers=headers) as response:
            assert response.status in (200, 204), path
            await response.read()


async def test_guard_names_every_route_that_is_open(locked: RunningProducer) -> None:
    """A route that is added later needs a key unless it is named here, too."""
    paths = "/ /review /docs /docs/stream /redoc /openapi.json /asyncapi.json"
    paths += " /assets/{name} /health /ready /metrics"
    assert set(paths.split()) == OPEN_PATHS
    for path in OPEN_PATHS - {"/assets/{name}"}:
        async with locked.session.get(locked.url + path) as response:
            assert response.status == 200, path
    async with locked.session.get(locked.url + "/assets/docs.js") as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/assets/..{}", "/assets/%2e%2e{}", "/docs/..{}", "/docs;{}", "/health/%2e%2e{}", "/{}",
        "http://x/docs/..{}", "/assets/docs.js/../..{}", "/%2e{}", "{}?/docs", "{}#/docs",
    ],
)  # fmt: skip
async def test_no_way_around_the_guard(locked: RunningProducer, path: str) -> None:
    task_id = await finished_task(locked)
    for _, guarded in GUARDED[2:5]:
        target = path.format(guarded.format(id=task_id))
        answer = await locked.raw(
            b"GET " + target.encode() + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        assert answer[9:12] in (b"400", b"401", b"404"), target
        assert b"covered" not in answer


async def test_refused_before_the_body_is_asked_for(locked: RunningProducer) -> None:
    answer = await locked.raw(
        b"POST /api/v1/process-task/ HTTP/1.1\r\nHost: x\r\nContent-Length: 500000000\r\n"
        b"Content-Type: multipart/form-data; boundary=B\r\nExpect: 100-continue\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"100 Continue" not in answer
    refused = 'plate_tasks_refused_total{reason="unauthorized"}'
    assert await locked.metric(refused) == 1


async def test_without_keys_the_service_is_open(producer: RunningProducer) -> None:
    assert (await producer.upload(("a", JPEG), headers={"X-API-Key": "any"}))[0] == 202
    status, document = await producer.call("GET", "/openapi.json")
    assert status == 200
    assert document["paths"][UPLOAD]["post"]["security"][0] == {}


async def test_document_asks_for_the_key(locked: RunningProducer) -> None:
    _, document = await locked.call("GET", "/openapi.json")
    schemes = document["components"]["securitySchemes"]
    assert schemes["ApiKey"] == {"type": "apiKey", "in": "header", "name": "X-API-Key"}
    assert schemes["Bearer"]["scheme"] == "bearer"
    for path, operations in document["paths"].items():
        for operation in operations.values():
            guarded = path not in OPEN_PATHS
            wanted: Any = [{"ApiKey": []}, {"Bearer": []}] if guarded else None
            assert operation.get("security") == wanted, path
            assert ("401" in operation["responses"]) == guarded


async def test_keys_are_nowhere_to_be_read(
    locked: RunningProducer, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = ProducerSettings(_env_file=None, api_keys=KEY)
    assert KEY not in repr(settings) + str(settings.model_dump()) + str(vars(settings))
    await finished_task(locked)
    await locked.call("GET", "/api/v1/task-status/x", headers={"X-API-Key": "a-wrong-key-of-16"})
    shown = capfd.readouterr()
    async with locked.session.get(locked.url + "/metrics") as response:
        seen = shown.out + shown.err + await response.text()
    assert KEY not in seen
    assert "a-wrong-key" not in seen
    assert not [key async for key in locked.redis.scan_iter(f"*{KEY}*")]


def test_keys_are_not_shown_by_the_settings_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEYS", KEY)
    for option in ([], ["--markdown"], ["--env"]):
        shown = CliRunner().invoke(app, ["settings", *option], env={"COLUMNS": "200"})
        assert "API_KEYS" in shown.stdout
        assert KEY not in shown.stdout


@pytest.mark.parametrize("keys", ["short", f"{KEY},short", "with blanks in the middle", "к" * 20])
def test_unusable_keys_stop_the_start_and_are_not_repeated(
    keys: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_KEYS", keys)
    with pytest.raises(SettingsError, match=r"API_KEYS=….*16 to 256") as caught:
        ProducerSettings.load()
    assert keys not in str(caught.value)


async def test_headers_of_every_answer(producer: RunningProducer) -> None:
    pages = ("/", "/review", "/docs", "/redoc", "/docs/stream")
    for path in (*pages, "/openapi.json", "/health", "/nothing", "/assets/docs.js"):
        async with producer.session.get(producer.url + path) as response:
            headers = response.headers
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["X-Frame-Options"] == "DENY"
            assert headers["Referrer-Policy"] == "no-referrer"
            policy = headers["Content-Security-Policy"]
        assert re.search(r"default-src 'none'.*frame-ancestors 'none'", policy), path
        assert ("script-src" in policy) == (path in pages)
