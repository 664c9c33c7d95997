"""What is looked up for a result, and which names are none."""

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
