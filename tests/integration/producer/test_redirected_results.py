"""Results from a bucket with RESULT_DELIVERY=redirect: who is redirected, and what is there."""

import asyncio
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

from plate_detect_client import AsyncClient, Client, NotFoundError
from producer.settings import ProducerSettings
from tests.integration.producer.conftest import JPEG, RunningProducer, StartProducer
from tests.support.s3_server import ACCESS, BUCKET, S3Server, s3_server

pytestmark = pytest.mark.integration

API_KEY = "0123456789abcdef"


@pytest.fixture(scope="module")
def bucket() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
async def producer(
    bucket: S3Server,
    start_producer: StartProducer,
    redis_server: str,
    monkeypatch: pytest.MonkeyPatch,
) -> RunningProducer:
    for name, value in ({**ACCESS, "AWS_ENDPOINT_URL": bucket.url}).items():
        monkeypatch.setenv(name, value)
    producer = await start_producer(
        redis_server, tasks_storage_url=f"s3://{BUCKET}", result_delivery="redirect",
        api_keys=API_KEY,
    )  # fmt: skip
    producer.session.headers["X-API-Key"] = API_KEY
    return producer


async def finished(producer: RunningProducer) -> str:
    """Return the id of a task with one result."""
    _, body = await producer.upload(("a.jpg", JPEG))
    await producer.finish_next()
    return str(body["task_id"])


def url_of(producer: RunningProducer, task_id: str) -> str:
    return f"{producer.url}/tasks_storage/{task_id}/output/covered_a.webp"


async def test_a_client_is_sent_to_the_bucket(producer: RunningProducer, bucket: S3Server) -> None:
    url = url_of(producer, await finished(producer))
    async with producer.session.get(url, allow_redirects=False) as response:
        assert (response.status, response.headers["Cache-Control"]) == (307, "no-store")
        assert response.headers["Location"].startswith(f"{bucket.url}/{BUCKET}/")
    async with producer.session.get(url) as response:
        assert (response.status, await response.read()) == (200, b"covered")
        assert response.content_type == "image/webp"
        tag = response.headers["ETag"]
    # What the producer knows by itself needs no redirect.
    async with producer.session.get(
        url, headers={"If-None-Match": tag}, allow_redirects=False
    ) as response:
        assert response.status == 304
    async with producer.session.head(url, allow_redirects=False) as response:
        assert (response.status, response.content_length) == (200, 7)


async def test_the_page_gets_the_file_itself(producer: RunningProducer) -> None:
    url = url_of(producer, await finished(producer))
    async with producer.session.get(f"{url}?delivery=proxy", allow_redirects=False) as response:
        assert (response.status, await response.read()) == (200, b"covered")


async def test_what_is_no_result_is_never_signed(producer: RunningProducer) -> None:
    task_id = await finished(producer)
    for name in ("..%2Finput%2F0", "0", "covered_b.webp"):
        url = f"{producer.url}/tasks_storage/{task_id}/output/{name}"
        async with producer.session.get(url, allow_redirects=False) as response:
            assert response.status == 404
    async with producer.session.get(
        url_of(producer, task_id), headers={"X-API-Key": "x" * 16}, allow_redirects=False
    ) as response:
        assert response.status == 401


async def test_the_clients_follow_without_the_key(
    producer: RunningProducer, bucket: S3Server
) -> None:
    task_id = await finished(producer)
    bucket.headers.clear()
    async with AsyncClient(producer.url, api_key=API_KEY) as client:
        state = await client.status(task_id)
        assert [data async for _, data in client.results(state)] == [b"covered"]

    def synchronously() -> list[bytes]:
        with Client(producer.url, api_key=API_KEY) as client:
            return [data for _, data in client.results(client.status(task_id))]

    assert await asyncio.to_thread(synchronously) == [b"covered"]
    assert len(bucket.headers) == 2
    assert not [sent for sent in bucket.headers if API_KEY in str(sent)]


async def test_a_client_is_told_of_a_file_that_is_gone(producer: RunningProducer) -> None:
    task_id = await finished(producer)
    await producer.storage.delete(f"{task_id}/output/covered_a.webp")
    async with AsyncClient(producer.url, api_key=API_KEY) as client:
        state = await client.status(task_id)
        with pytest.raises(NotFoundError):
            _ = [data async for _, data in client.results(state)]


def test_a_folder_cannot_be_read_from_outside() -> None:
    with pytest.raises(ValidationError, match="RESULT_DELIVERY=redirect needs a bucket"):
        ProducerSettings(_env_file=None, result_delivery="redirect")
