"""Files in a bucket: those of many tasks are deleted with one request."""

import pytest

from schemas.storage.layout import input_key, output_key
from schemas.storage.storage import Storage
from tests.integration.dispatcher.conftest import World, eventually
from tests.integration.dispatcher.sweeping import sweeper
from tests.support.s3_server import ACCESS, BUCKET, s3_server

pytestmark = pytest.mark.integration

TASKS = 60


async def test_files_of_many_tasks_are_deleted_with_one_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as server:
        for name, value in ({**ACCESS, "AWS_ENDPOINT_URL": server.url}).items():
            monkeypatch.setenv(name, value)
        world.storage = Storage.open(f"s3://{BUCKET}/service")
        await world.complete_task("live")
        for number in range(TASKS):
            await world.storage.put(input_key(f"old{number}", 0), b"original")
            await world.storage.put(output_key(f"old{number}", "covered_0.webp"), b"result")
        server.requests.clear()

        async def swept() -> bool:
            await sweeper(world, upload_grace_seconds=0.001).sweep()
            keys = [key async for key, _ in world.storage.list()]
            return keys == ["live/output/covered_0.webp"]

        await eventually(swept)
        assert server.requests["POST ?delete"] <= 2, "one, or two for files that were too young"
        assert not server.requests["DELETE"]
