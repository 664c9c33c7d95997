"""`needs_review` and detections in the status and in the progress stream."""

import asyncio
import json
from typing import Any

import pytest

from schemas.contract.messages import ImageMessage
from schemas.contract.names import result_url
from schemas.contract.tasks import Detection, ImageResult
from tests.integration.producer.conftest import JPEG, RunningProducer

pytestmark = pytest.mark.integration

QUAD = ((10.0, 20.5), (110.0, 20.5), (110.0, 45.0), (-0.5, 45.0))


async def finish(
    producer: RunningProducer, entry: str, message: ImageMessage, score: float
) -> None:
    await producer.store.begin(entry, message)
    name = message.output_name
    result = ImageResult(
        filename=name, url=result_url(message.task_id, name), needs_review=score < 0.5,
        detections=[Detection(quad=QUAD, score=score)],
    )  # fmt: skip
    await producer.store.finish(entry, message, result, {})


async def test_status_and_events_have_needs_review(producer: RunningProducer) -> None:
    _, body = await producer.upload(("a.jpg", JPEG), ("b.jpg", JPEG))
    path = f"/api/v1/task-status/{body['task_id']}"
    (first, m0), (second, m1) = await producer.messages()
    await finish(producer, first, m0, 0.9)
    _, half = await producer.call("GET", path)
    assert half["needs_review"] is False
    assert [result.get("needs_review") for result in half["results"]] == [None]
    await finish(producer, second, m1, 0.321)
    _, state = await producer.call("GET", path)
    assert state["needs_review"] is True
    assert [result.get("needs_review") for result in state["results"]] == [None, True]
    [detection] = state["results"][1]["detections"]
    assert detection == {"quad": [list(corner) for corner in QUAD], "score": 0.321}
    assert await last_event(producer, body["task_id"]) == state


async def test_results_without_detections_have_no_such_field(producer: RunningProducer) -> None:
    _, body = await producer.upload(("a.jpg", JPEG))
    await producer.finish_next()
    _, state = await producer.call("GET", f"/api/v1/task-status/{body['task_id']}")
    assert set(state["results"][0]) == {"index", "filename", "url"}


async def last_event(producer: RunningProducer, task_id: str) -> Any:
    url = f"{producer.url}/api/v1/task-events/{task_id}"
    async with asyncio.timeout(20), producer.session.get(url) as response:
        lines = (await response.text()).splitlines()
    return json.loads([line for line in lines if line.startswith("data: ")][-1][6:])
