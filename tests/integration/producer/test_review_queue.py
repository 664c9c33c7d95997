"""The queue of results that need review, and their acceptance."""

import pytest

from tests.integration.producer.conftest import RunningProducer, StartProducer
from tests.integration.producer.reviewing import NAME, completed, task_of

pytestmark = pytest.mark.integration


async def test_acceptance_clears_the_mark(producer: RunningProducer) -> None:
    path = await completed(producer, needs_review=True)
    assert (await producer.call("GET", "/api/v1/reviews"))[1]["total"] == 1
    assert await producer.metric("plate_reviews_waiting") == 1
    for _ in range(2):
        status, result = await producer.call("POST", f"{path}/accept")
        assert (status, "needs_review" in result, result["filename"]) == (200, False, NAME)
    _, state = await producer.call("GET", f"/api/v1/task-status/{task_of(path)}")
    assert state["needs_review"] is False
    assert (await producer.call("GET", "/api/v1/reviews"))[1] == {
        "total": 0, "items": [], "next": None,
    }  # fmt: skip
    assert await producer.metric("plate_results_accepted_total") == 2


async def test_the_queue_in_pages(start_producer: StartProducer, redis_server: str) -> None:
    producer = await start_producer(redis_server, public_url="https://example.org/p")
    paths = [await completed(producer, needs_review=True) for _ in range(3)]
    _, first = await producer.call("GET", "/api/v1/reviews?limit=2&max_age=60&min_score=0.5")
    assert [item["task_id"] for item in first["items"]] == [task_of(path) for path in paths[:2]]
    item = first["items"][0]
    assert set(item) == {"task_id", "result", "finished_at", "reason", "score"}
    assert (item["reason"], item["score"]) == ("not_covered", 0.6)
    assert item["result"]["url"].startswith("https://example.org/p/tasks_storage/")
    query = {"cursor": first["next"], "limit": "2"}
    _, second = await producer.call("GET", "/api/v1/reviews", params=query)
    assert [item["task_id"] for item in second["items"]] == [task_of(paths[2])]
    assert second["next"] is None
    for query in ({"max_score": "0.5"}, {"min_score": "0.7"}):
        _, none = await producer.call("GET", "/api/v1/reviews", params=query)
        assert (none["items"], none["total"]) == ([], 3)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "max_age=0",
        "max_age=inf",
        "min_score=2",
        "cursor=x",
        "min=0.5",
    ],
)
async def test_other_queries_are_refused(producer: RunningProducer, query: str) -> None:
    status, problem = await producer.call("GET", f"/api/v1/reviews?{query}")
    assert (status, problem["type"]) == (422, "urn:plate-detect:invalid-query")
