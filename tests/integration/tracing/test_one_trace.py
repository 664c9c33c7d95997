"""One trace leads from the POST through stream and batch to the webhook, whoever began it."""

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from schemas import tracing
from tests.integration.tracing.conftest import (
    CALLER,
    TRACE,
    Recorded,
    Whole,
    context,
    photo,
    traceparent,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]

POST = "POST /api/v1/process-task/"
SEND, PROCESS = "send {plates}:images", "process {plates}:images"
SEND_EVENT, PROCESS_EVENT = "send {plates}:events", "process {plates}:events"
WEBHOOK = "POST"
STAGES = {"load", "decode", "inference", "cover", "encode", "store"}


async def test_a_task_is_one_trace_from_the_post_to_the_webhook(
    recorded: Recorded, whole: Whole
) -> None:
    await whole.submit("a.jpg", "b.jpg", traceparent=CALLER)
    received = await whole.callback()
    await recorded.until(WEBHOOK)
    assert recorded.traces == {TRACE}
    post = recorded.one(POST)
    assert post.parent is not None
    assert f"{post.parent.span_id:016x}" == CALLER.split("-")[2]
    assert post.kind is SpanKind.SERVER
    [send] = recorded.children(post)[SEND]
    assert send.kind is SpanKind.PRODUCER
    images = recorded.children(send)[PROCESS]
    assert len(images) == 2
    for image in images:
        assert image.kind is SpanKind.CONSUMER
        assert set(recorded.children(image)) - {SEND_EVENT} == STAGES
    [event] = [event for image in images for event in recorded.children(image)[SEND_EVENT]]
    [read] = recorded.children(event)[PROCESS_EVENT]
    [attempt] = recorded.children(read)[WEBHOOK]
    assert attempt.kind is SpanKind.CLIENT
    assert received == traceparent(attempt)
    assert len(recorded.named(SEND_EVENT)) == 1


async def test_each_forward_pass_is_linked_to_the_images_in_it(
    recorded: Recorded, whole: Whole
) -> None:
    await whole.submit("a.jpg", "b.jpg", "c.jpg")
    await whole.callback()
    passes = {context(span).span_id: span for span in recorded.named("forward pass")}
    linked = [link.context.span_id for span in passes.values() for link in span.links]
    inputs = recorded.named("inference")
    assert sorted(linked) == sorted(context(span).span_id for span in inputs)
    for span in inputs:
        [link] = span.links
        forward = passes[link.context.span_id]
        assert context(span).span_id in {each.context.span_id for each in forward.links}
    for span in passes.values():
        assert span.attributes is not None
        assert span.attributes["plate.batch_size"] == len(span.links)


async def test_spans_tell_what_happened(recorded: Recorded, whole: Whole) -> None:
    task_id = await whole.submit("a.jpg", "b.jpg")
    await whole.callback()
    await recorded.until(WEBHOOK)
    assert dict(recorded.one(POST).attributes or {}) == {
        "http.request.method": "POST", "http.route": "/api/v1/process-task/", "url.scheme": "http",
        "http.response.status_code": 202, tracing.TASK_ID: task_id,
    }  # fmt: skip
    sent = dict(recorded.one(SEND).attributes or {})
    assert sent["messaging.batch.message_count"] == 2
    assert sent["messaging.destination.name"] == "{plates}:images"
    images = [dict(span.attributes or {}) for span in recorded.named(PROCESS)]
    assert {image[tracing.INDEX] for image in images} == {0, 1}
    for image in images:
        assert image[tracing.TASK_ID] == task_id
        assert image[tracing.OUTCOME] == "covered"
        assert image["messaging.consumer.group.name"] == "workers"
    attempt = dict(recorded.one(WEBHOOK).attributes or {})
    assert attempt["http.response.status_code"] == 200
    assert attempt["server.address"] == "127.0.0.1"
    assert attempt["plate.webhook"] == "callback"


async def test_no_span_holds_a_secret_or_a_file_name(recorded: Recorded, whole: Whole) -> None:
    task_id = await whole.submit("Иванов А123ВС.jpg", "broken-photo.jpg")
    await whole.callback()
    name = "covered_broken-photo.webp"
    async with whole.session.get(f"{whole.url}/tasks_storage/{task_id}/output/{name}") as response:
        assert response.status == 200
    await recorded.until("GET /tasks_storage/{task_id}/output/{file}")
    assert task_id in recorded.text
    for hidden in ("Иванов", "А123ВС", "broken-photo", "pass-word", "secret-path", "secret-key"):
        assert hidden not in recorded.text


async def test_every_attempt_of_a_webhook_is_a_span_of_the_trace(
    recorded: Recorded, whole: Whole
) -> None:
    whole.statuses = [503, 410]
    await whole.submit("a.jpg", traceparent=CALLER)
    received = [await whole.callback(), await whole.callback()]
    await recorded.until(WEBHOOK, 2)
    attempts = recorded.named(WEBHOOK)
    assert [traceparent(attempt) for attempt in attempts] == received
    assert [attempt.parent for attempt in attempts] == [attempts[0].parent] * 2
    assert recorded.traces == {TRACE}
    for number, (attempt, status) in enumerate(zip(attempts, (503, 410), strict=True)):
        attributes = dict(attempt.attributes or {})
        assert attributes["http.request.resend_count"] == number
        assert attributes["http.response.status_code"] == status
        assert attributes["error.type"] == str(status)
        assert attempt.status.status_code is StatusCode.ERROR


async def test_an_image_of_another_service_continues_its_trace(
    recorded: Recorded, whole: Whole
) -> None:
    fields = {"v": "1", "task_id": "direct", "image": photo(), "traceparent": CALLER}
    await whole.redis.xadd("{plates}:images", fields)
    received = await whole.callback()
    assert received is not None
    assert received.split("-")[1] == TRACE
    [image] = recorded.named(PROCESS)
    assert image.parent is not None
    assert f"{image.parent.span_id:016x}" == CALLER.split("-")[2]


async def test_an_entry_that_breaks_the_contract_says_why(recorded: Recorded, whole: Whole) -> None:
    await whole.redis.xadd("{plates}:images", {"v": "2", "traceparent": CALLER})
    await recorded.until(PROCESS)
    attributes = dict(recorded.one(PROCESS).attributes or {})
    assert attributes[tracing.OUTCOME] == "dead_letter"
    assert attributes["plate.reason"] == "invalid_message"
    assert recorded.traces == {TRACE}


@pytest.mark.parametrize("noise", ["??", "00-1-2-3", f"00-{'0' * 32}-00f067aa0ba902b7-01"])
async def test_noise_in_place_of_a_trace_begins_a_new_one(
    recorded: Recorded, whole: Whole, noise: str
) -> None:
    fields = {"v": "1", "task_id": "direct", "image": photo(), "traceparent": noise}
    await whole.redis.xadd("{plates}:images", fields)
    assert await whole.callback() is not None
    assert recorded.one(PROCESS).parent is None
    await whole.submit("a.jpg", traceparent=noise)
    assert await whole.callback() is not None
    assert recorded.one(POST).parent is None


async def test_of_a_caller_that_is_not_sampled_nothing_is_recorded(
    recorded: Recorded, whole: Whole
) -> None:
    await whole.submit("a.jpg", traceparent=f"{CALLER[:-2]}00")
    received = await whole.callback()
    assert received is not None
    assert received.split("-")[1] == TRACE
    assert received.endswith("-00")
    assert recorded.spans == []


async def test_the_webhook_of_a_deleted_task_continues_its_trace(
    recorded: Recorded, whole: Whole
) -> None:
    fields = {
        "v": "1", "task_id": "direct", "total": "2", "image": photo(), "traceparent": CALLER,
    }  # fmt: skip
    await whole.redis.xadd("{plates}:images", fields)
    await recorded.until(PROCESS)
    async with whole.session.delete(f"{whole.url}/api/v1/tasks/direct") as response:
        assert response.status == 204
    received = await whole.callback()
    assert received is not None
    assert received.split("-")[1] == TRACE


async def test_an_image_that_fails_says_why_and_is_no_error_of_the_service(
    recorded: Recorded, whole: Whole
) -> None:
    fields = {"v": "1", "task_id": "direct", "image": photo()[:-20]}
    await whole.redis.xadd("{plates}:images", fields)
    await whole.callback()
    image = recorded.one(PROCESS)
    assert dict(image.attributes or {})[tracing.OUTCOME] == "corrupt_image"
    assert image.status.status_code is StatusCode.UNSET
    [decode] = recorded.children(image)["decode"]
    assert dict(decode.attributes or {})["error.type"] == "ImageError"
    assert not decode.events


async def test_a_correction_is_a_trace_of_its_own_up_to_the_webhook(
    recorded: Recorded, whole: Whole
) -> None:
    task_id = await whole.submit("a.jpg")
    await whole.callback()
    path = f"{whole.url}/api/v1/tasks/{task_id}/results/covered_a.webp/covers"
    covers = {"covers": [[[5, 5], [40, 5], [40, 20], [5, 20]]]}
    headers = {"traceparent": CALLER}
    async with whole.session.post(path, json=covers, headers=headers) as response:
        assert response.status in (200, 202), await response.text()
    received = await whole.callback()
    assert received is not None
    assert received.split("-")[1] == TRACE
    sends = recorded.named("send {plates}:corrections")
    assert [f"{context(send).trace_id:032x}" for send in sends] == [TRACE]
    [work] = recorded.children(sends[0])["process {plates}:corrections"]
    [event] = recorded.children(work)[SEND_EVENT]
    assert len(recorded.children(event)[PROCESS_EVENT]) == 1
