"""Addresses of results with PUBLIC_URL: events have no request that names the service."""

import pytest

from tests.integration.worker.conftest import Bench, Start
from tests.support.pictures import scene_file

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


@pytest.mark.parametrize("public_url", ["", "https://example.org/plates"])
async def test_event_and_status_name_the_same_address(
    bench: Bench, worker: Start, public_url: str
) -> None:
    await bench.publish(task_id="t1", filename="мой a.jpg", image=scene_file())
    async with worker(public_url=public_url):
        event = await bench.event("t1")
    state = await bench.store.state("t1")
    assert state is not None
    assert event[b"payload"].decode() == state.model_dump_json()
    (result,) = state.results
    path = "/tasks_storage/t1/output/covered_%D0%BC%D0%BE%D0%B9%20a.webp"
    assert result.url == public_url + path
