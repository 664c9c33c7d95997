"""Addresses in responses: with PUBLIC_URL, or with a prefix that a proxy names."""

import asyncio
import json
from typing import Any
from urllib.parse import urljoin

import aiohttp
import pytest

from schemas.contract.names import result_url
from schemas.contract.tasks import ImageResult
from tests.integration.producer.conftest import JPEG, UPLOAD, RunningProducer, StartProducer

pytestmark = pytest.mark.integration
PUBLIC = "https://example.org/plates"


async def upload(producer: RunningProducer, headers: dict[str, str]) -> str:
    """Upload one image; return the Location."""
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("files", JPEG, filename="a b.jpg")
    url = producer.url + UPLOAD
    async with producer.session.post(url, data=form, headers=headers) as response:
        assert response.status == 202
        return response.headers["Location"]


async def reported(producer: RunningProducer, task_id: str, headers: dict[str, str]) -> list[str]:
    """Return the result addresses of task-status; those of task-events are the same."""
    path = f"/api/v1/task-status/{task_id}"
    _, state = await producer.call("GET", path, headers=headers)
    url = f"{producer.url}/api/v1/task-events/{task_id}"
    async with asyncio.timeout(20), producer.session.get(url, headers=headers) as response:
        lines = (await response.text()).splitlines()
    assert json.loads(next(line for line in lines if line.startswith("data: "))[6:]) == state
    return [result["url"] for result in state["results"]]


async def server_url(producer: RunningProducer, headers: dict[str, str]) -> str:
    _, document = await producer.call("GET", "/openapi.json", headers=headers)
    (server,) = document["servers"]
    return str(server["url"])


@pytest.mark.parametrize(
    ("settings", "headers", "base"),
    [
        ({}, {}, ""),
        ({}, {"X-Forwarded-Prefix": "/plates"}, ""),
        ({"trust_forwarded_prefix": True}, {}, ""),
        ({"trust_forwarded_prefix": True}, {"X-Forwarded-Prefix": "/plates"}, "/plates"),
        ({"trust_forwarded_prefix": True}, {"X-Forwarded-Prefix": "/a/b-c/"}, "/a/b-c"),
        ({"trust_forwarded_prefix": True}, {"X-Forwarded-Prefix": "/a, /b"}, "/a/b"),
        ({"trust_forwarded_prefix": True}, {"X-Forwarded-Prefix": "/"}, ""),
        ({"trust_forwarded_prefix": True}, {"X-Forwarded-Prefix": "//evil.example"}, ""),
        ({"trust_forwarded_prefix": True}, {"X-Forwarded-Prefix": "/a, //evil.example"}, ""),
        ({"trust_forwarded_prefix": True}, {"X-Forwarded-Prefix": "https://evil.example"}, ""),
        ({"trust_forwarded_prefix": True}, {"X-Forwarded-Prefix": "/../a"}, ""),
        ({"trust_forwarded_prefix": True}, {"X-Forwarded-Prefix": "/a b"}, ""),
        ({"trust_forwarded_prefix": True}, {"X-Forwarded-Prefix": "plates"}, ""),
        ({"public_url": f"{PUBLIC}/"}, {}, PUBLIC),
        (
            {"public_url": PUBLIC, "trust_forwarded_prefix": True},
            {"X-Forwarded-Prefix": "/other"},
            PUBLIC,
        ),
    ],
)
async def test_addresses_in_responses(
    start_producer: StartProducer, redis_server: str, settings: dict[str, Any],
    headers: dict[str, str], base: str,
) -> None:  # fmt: skip
    producer = await start_producer(redis_server, **settings)
    location = await upload(producer, headers)
    message = await producer.finish_next()
    assert location == f"{base}/api/v1/task-status/{message.task_id}"
    assert await server_url(producer, headers) == (base or ".")
    url = f"{base}/tasks_storage/{message.task_id}/output/covered_a%20b.webp"
    assert await reported(producer, message.task_id, headers) == [url]


async def test_an_address_that_a_worker_made_whole_stays(
    start_producer: StartProducer, redis_server: str
) -> None:
    producer = await start_producer(redis_server, trust_forwarded_prefix=True)
    await upload(producer, {})
    entry, message = (await producer.messages())[0]
    await producer.store.begin(entry, message)
    url = result_url(message.task_id, message.output_name, PUBLIC)
    result = ImageResult(filename=message.output_name, url=url)
    await producer.store.finish(entry, message, result, {})
    headers = {"X-Forwarded-Prefix": "/plates"}
    assert await reported(producer, message.task_id, headers) == [url]


async def test_pages_are_relative(producer: RunningProducer) -> None:
    """So they work under any prefix without a setting."""
    document = urljoin("https://x/plates/", await server_url(producer, {}))
    assert document == "https://x/plates/"
    for page in ("/docs", "/redoc", "/assets/docs.js", "/assets/redoc.js"):
        async with producer.session.get(producer.url + page) as response:
            text = await response.text()
        assert '"/' not in text
        assert ('new URL("openapi.json", document.baseURI)' in text) == page.endswith(".js")
