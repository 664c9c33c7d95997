"""Without OpenTelemetry the trace context of a caller is handed on as it is."""

import pytest

from tests.integration.tracing.conftest import CALLER, Whole, photo

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


async def test_the_callers_trace_context_reaches_the_webhook(whole: Whole) -> None:
    await whole.submit("a.jpg", "b.jpg", traceparent=CALLER)
    assert await whole.callback() == CALLER


async def test_the_publishers_trace_context_reaches_the_webhook(whole: Whole) -> None:
    fields = {"v": "1", "task_id": "direct", "image": photo(), "traceparent": CALLER}
    await whole.redis.xadd("{plates}:images", fields)
    assert await whole.callback() == CALLER


async def test_a_task_that_ends_otherwise_has_the_trace_context_of_its_first_image(
    whole: Whole,
) -> None:
    fields = {
        "v": "1", "task_id": "direct", "total": "2", "image": photo(), "traceparent": CALLER,
    }  # fmt: skip
    await whole.redis.xadd("{plates}:images", fields)
    await whole.redis.xadd("{plates}:images", {"v": "1", "task_id": "direct", "index": "1",
                                               "object": "direct/input/none"})  # fmt: skip
    assert await whole.callback() == CALLER


@pytest.mark.parametrize("headers", [{}, {"traceparent": "00-nothing-of-the-kind"}])
async def test_without_one_nothing_is_sent(whole: Whole, headers: dict[str, str]) -> None:
    await whole.submit("a.jpg", **headers)
    assert await whole.callback() is None


async def test_one_request_does_not_pass_its_trace_context_to_the_next_one(whole: Whole) -> None:
    """Both are on one connection, whose requests one task handles."""
    await whole.submit("a.jpg", traceparent=CALLER)
    assert await whole.callback() == CALLER
    await whole.submit("b.jpg")
    assert await whole.callback() is None
