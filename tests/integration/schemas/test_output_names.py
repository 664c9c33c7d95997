"""Names of results: misread characters are replaced, and each image keeps its own name."""

import pytest
from redis.asyncio import Redis

from schemas.contract.messages import ImageMessage
from schemas.redis.results import BeginResult, FinishResult
from schemas.redis.task_store import TaskStore
from tests.integration.schemas.steps import result, take

pytestmark = pytest.mark.integration


def named(*outputs: str) -> list[ImageMessage]:
    return [
        ImageMessage(task_id="t1", index=index, total=len(outputs), output=output, image=b"raw")
        for index, output in enumerate(outputs)
    ]


@pytest.mark.parametrize("first", [0, 1])
async def test_replaced_characters_never_give_two_images_one_name(
    redis: Redis, store: TaskStore, first: int
) -> None:
    await store.submit("t1", named("a;b.webp", "a_b.webp"), max_backlog=10)
    taken = await take(redis)
    (e0, m0), (e1, m1) = taken[first], taken[1 - first]
    for _ in range(2):  # a second delivery gets the same
        assert await store.begin(e0, m0) is BeginResult.RUN
        assert await store.begin(e1, m1) is BeginResult.OUTPUT_TAKEN
        assert await store.begin(e1, m1, output=m1.distinct_output_name) is BeginResult.RUN


@pytest.mark.parametrize("output", ["a.webp", "a;b.webp"])
async def test_a_name_that_is_requested_twice_is_a_conflict(
    redis: Redis, store: TaskStore, output: str
) -> None:
    await store.submit("t1", named(output, output), max_backlog=10)
    (e0, m0), (e1, m1) = await take(redis)
    assert await store.begin(e0, m0) is BeginResult.RUN
    assert await store.begin(e1, m1) is BeginResult.OUTPUT_CONFLICT


async def test_an_image_that_an_older_version_began_goes_on(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", named("a;b.webp"), max_backlog=10)
    [(entry, message)] = await take(redis)
    assert await store.begin(entry, message, output="a;b.webp") is BeginResult.RUN
    assert await store.begin(entry, message) is BeginResult.RUN
    assert await store.finish(entry, message, result(message), {}) is FinishResult.COMPLETED
    assert await store.locate_result("t1", "a_b.webp")


async def test_a_result_of_an_older_version_stays_listed(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", named("a;b.webp"), max_backlog=10)
    [(entry, message)] = await take(redis)
    await store.begin(entry, message, output="a;b.webp")
    old = result(message).model_copy(update={"filename": "a;b.webp"})
    await store.finish(entry, message, old, {})
    assert await store.locate_result("t1", "a;b.webp")
    assert await store.begin(entry, message) is BeginResult.DUPLICATE
