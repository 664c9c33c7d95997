"""Health, readiness, metrics, documentation, and errors that concern no task."""

import re
from urllib.parse import urljoin

import pytest
from openapi_spec_validator import validate

from tests.integration.producer.conftest import JPEG, UPLOAD, RunningProducer


async def test_alive_and_ready(producer: RunningProducer) -> None:
    assert await producer.call("GET", "/health") == (200, {"status": "alive"})
    assert await producer.call("GET", "/ready") == (200, {"status": "ready"})
    assert producer.files() == []  # the check of storage leaves nothing


async def test_readiness_cannot_be_used_to_hammer(producer: RunningProducer) -> None:
    await producer.redis.config_resetstat()
    for _ in range(100):
        assert (await producer.call("GET", "/ready"))[0] == 200
    stats = await producer.redis.info("commandstats")
    assert 1 <= stats["cmdstat_xlen"]["calls"] <= 3  # a second each, on a slow machine too


async def test_metrics_count_without_unbounded_labels(producer: RunningProducer) -> None:
    _, body = await producer.upload(("a.jpg", JPEG), ("b.jpg", JPEG))
    await producer.call("GET", f"/api/v1/task-status/{body['task_id']}")
    await producer.call("GET", "/some/path/that/a/scanner/tries")
    await producer.call("PROPFIND", "/health")

    assert await producer.metric("plate_tasks_accepted_total") == 1
    assert await producer.metric("plate_images_accepted_total") == 2
    assert await producer.metric("plate_backlog_images") == 2
    assert await producer.metric("plate_open_tasks") == 1
    requests = 'plate_http_requests_total{{method="{}",route="{}",status="{}"}}'
    assert await producer.metric(requests.format("POST", UPLOAD, 202)) == 1
    assert await producer.metric(requests.format("GET", "/api/v1/task-status/{task_id}", 200)) == 1
    assert await producer.metric(requests.format("GET", "unmatched", 404)) == 1
    assert await producer.metric(requests.format("other", "unmatched", 405)) == 1
    async with producer.session.get(producer.url + "/metrics") as response:
        text = await response.text()
    assert body["task_id"] not in text
    assert "scanner" not in text
    assert "PROPFIND" not in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("GET", UPLOAD, 405), ("POST", "/health", 405), ("PUT", "/", 405)],
)
async def test_errors_of_the_framework(
    producer: RunningProducer, method: str, path: str, status: int
) -> None:
    async with producer.session.request(method, producer.url + path) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        body = await response.json(content_type=None)
        assert (body["status"], body["type"]) == (status, "about:blank")
        assert ("Allow" in response.headers) == (status == 405)
        assert response.headers["Server"] == "plate-detect"


async def test_an_unforeseen_error_is_logged_and_not_shown(
    producer: RunningProducer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise LookupError("secret inside")

    monkeypatch.setattr("schemas.redis.task_store.TaskStore.state", broken)
    status, body = await producer.call("GET", "/api/v1/task-status/x")
    assert (status, body["type"]) == (500, "urn:plate-detect:internal")
    assert "secret" not in str(body)
    assert (await producer.call("GET", "/health"))[0] == 200


async def test_documentation_asks_no_other_host(producer: RunningProducer) -> None:
    for path in ("/docs", "/redoc", "/docs/stream"):
        async with producer.session.get(producer.url + path) as response:
            assert response.status == 200
            assert "default-src 'none'" in response.headers["Content-Security-Policy"]
            page = await response.text()
        assert "://" not in page
        wanted = re.findall(r'(?:src|href)="([^"]+)"', page)
        assert len(wanted) >= 3
        for asset in wanted:
            async with producer.session.get(urljoin(producer.url + path, asset)) as response:
                assert response.status == 200, asset
                await response.read()


async def test_assets_are_not_a_way_out(producer: RunningProducer) -> None:
    for path in (
        "/assets/../settings.py", "/assets/%2e%2e/settings.py", "/assets/", "/assets/x",
        "/assets", "/assets/swagger-ui", "/assets/swagger-ui/", "/assets//etc/passwd",
        "/assets/%2fetc%2fpasswd", "/assets/%00", "/assets/%ff", "/assets/docs.js/x", "/assets/ui",
        "/assets/" + "a" * 300, "/assets/" + "a/" * 3000,
    ):  # fmt: skip
        answer = await producer.raw(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
        )
        assert answer.startswith(b"HTTP/1.1 404 "), path


@pytest.mark.parametrize(
    "accept",
    [
        "text/plain;version=abc",
        "application/openmetrics-text;version=x",
        "application/openmetrics-text;version=1.0.0-rc1",
        "text/plain;version=" + "9" * 5000,
    ],
    ids=range(4),
)
async def test_metrics_for_an_unknown_version(producer: RunningProducer, accept: str) -> None:
    url, headers = producer.url + "/metrics", {"Accept": accept}
    async with producer.session.get(url, headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        assert "plate_backlog_images" in await response.text()


async def test_every_documented_path_is_a_route(producer: RunningProducer) -> None:
    status, document = await producer.call("GET", "/openapi.json")
    assert status == 200
    validate(document)
    for path, operations in document["paths"].items():
        for method in operations:
            url = producer.url + re.sub(r"{\w+}", "x", path)
            kinds = operations[method].get("requestBody", {}).get("content", {})
            body = {"covers": [[[1, 1], [9, 1], [9, 5], [1, 5]]]}
            options = {"json": body} if "application/json" in kinds else {}
            async with producer.session.request(method, url, **options) as response:
                text = await response.text()
            if "{" in path:  # the route is there, the task is not
                assert "urn:plate-detect:unknown-" in text, path
            else:
                assert response.status in (200, 400), path
