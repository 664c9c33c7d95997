"""Storage in a real S3 server: deletions in batches, content types, signed addresses."""

import json
import re
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from schemas.storage.parts import PART_BYTES
from schemas.storage.storage import Storage
from tests.support.documents import OPERATING
from tests.support.s3_server import ACCESS, BUCKET, S3Server, s3_server

pytestmark = pytest.mark.integration

KEY = "t1/output/covered_0.webp"


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in ({**ACCESS, "AWS_ENDPOINT_URL": running.url}).items():
        monkeypatch.setenv(name, value)
    return running


@pytest.fixture
async def storage(server: S3Server) -> Storage:
    storage = Storage.open(f"s3://{BUCKET}/service")
    await storage.delete_prefix("")
    server.requests.clear()
    return storage


async def test_many_objects_are_deleted_with_few_requests(
    server: S3Server, storage: Storage
) -> None:
    client, count = server.client(), storage.delete_batch + 200
    for number in range(count):
        client.put_object(Bucket=BUCKET, Key=f"service/t1/input/{number}", Body=b"x")
    await storage.put("t2/input/0", b"x")
    server.requests.clear()
    assert await storage.delete_prefix("t1/input/") == count
    assert server.requests["POST ?delete"] == 2
    assert not server.requests["DELETE"]
    assert [key async for key, _ in storage.list()] == ["t2/input/0"]


async def test_a_missing_object_in_a_batch_is_no_error(storage: Storage) -> None:
    await storage.put(KEY, b"x")
    await storage.delete("t1/input/0", KEY, "t1/input/1")
    assert [key async for key, _ in storage.list()] == []


async def test_a_signed_address_gives_a_result_without_credentials(storage: Storage) -> None:
    await storage.put(KEY, b"covered")
    url = await storage.signed_url(KEY)
    assert url is not None
    assert "X-Amz-Expires=300" in url
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        assert (response.status, await response.read()) == (200, b"covered")
        assert response.content_type == "image/webp"


async def test_a_small_stream_is_one_request(server: S3Server, storage: Storage) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"cov"
        yield b"ered"

    await storage.put(KEY, chunks())
    assert server.requests == {"PUT": 1}
    assert await storage.get(KEY, max_bytes=9) == b"covered"


async def test_a_large_stream_is_written_in_parts(server: S3Server, storage: Storage) -> None:
    sizes = (PART_BYTES - 1, 2, PART_BYTES, 7)
    parts = [bytes([number]) * size for number, size in enumerate(sizes)]

    async def chunks() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    await storage.put(KEY, chunks())
    assert server.requests["PUT ?partNumber"] >= 2
    assert await storage.get(KEY, max_bytes=4 * PART_BYTES) == b"".join(parts)


@pytest.mark.parametrize("key", ["t1/input/0", "t1/quarantine/1-0"])
async def test_originals_have_no_type_that_a_browser_shows(
    server: S3Server, storage: Storage, key: str
) -> None:
    await storage.put(key, b"original")
    head = server.client().head_object(Bucket=BUCKET, Key=f"service/{key}")
    assert not head["ContentType"].startswith("image/")


def test_the_documented_lifecycle_rule_is_accepted(server: S3Server) -> None:
    found = re.search(r"```json\n(\{\n  \"Rules\".*?)```", OPERATING.read_text("utf-8"), re.DOTALL)
    assert found is not None
    client, rule = server.client(), json.loads(found[1])
    client.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration=rule)
    assert client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"] == rule["Rules"]
