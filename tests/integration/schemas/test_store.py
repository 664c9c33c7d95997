"""From a submit to the one event: every result, and each step twice."""

from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from schemas.contract.events import CompletionEvent
from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import Detection, ImageResult, TaskStatus
from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.results import BeginResult, FinishResult, SubmitResult
from schemas.redis.task_store import TaskStore
from tests.integration.schemas.steps import KEYS, TTL_MS, failure, messages, result, take

pytestmark = pytest.mark.integration


async def test_submit_is_whole_and_repeatable(redis: Redis, store: TaskStore) -> None:
    batch = messages("t1", 3)
    assert await store.submit("t1", batch, max_backlog=3) is SubmitResult.ACCEPTED
    assert await store.submit("t1", batch, max_backlog=3) is SubmitResult.EXISTS
    assert await store.submit("t2", messages("t2", 1), max_backlog=3) is SubmitResult.BACKLOG
    assert await store.backlog() == 3
    assert await store.state("t2") is None
    state = await store.state("t1")
    assert state is not None
    assert (state.status, state.results, state.progress.total) == (TaskStatus.PENDING, [], 3)
    assert 0 < await redis.pttl(KEYS.task("t1")) <= TTL_MS
    assert [message for _, message in await take(redis)] == batch


async def test_task_from_first_image_to_the_one_event(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    (first, m0), (second, m1) = await take(redis)
    assert await store.begin(first, m0) is BeginResult.RUN
    state = await store.state("t1")
    assert state is not None
    assert state.status is TaskStatus.PROCESSING
    assert await store.begin(second, m1) is BeginResult.RUN
    # Finished in reverse order; the results are in index order.
    assert await store.finish(second, m1, result(m1), {}) is FinishResult.WRITTEN
    assert await store.finish(first, m0, result(m0), {}) is FinishResult.COMPLETED
    assert await store.finish(first, m0, result(m0), {"call": "other"}) is FinishResult.CLOSED
    assert await store.begin(first, m0) is BeginResult.DUPLICATE

    state = await store.state("t1")
    assert state is not None
    assert [r.filename for r in state.results] == ["covered_0.webp", "covered_1.webp"]
    events: Any = await redis.xrange(KEYS.events)
    assert len(events) == 1
    assert events[0][1][b"type"] == b"task.completed"
    assert events[0][1][b"event_id"] == b"evt_t1"
    assert events[0][1][b"payload"].decode() == state.model_dump_json()
    assert await store.backlog() == 0
    assert await redis.zcard(KEYS.open_tasks) == 0
    pending: Any = await redis.xpending(KEYS.images, WORKERS_GROUP)
    assert pending["pending"] == 0


async def test_a_repeated_finish_returns_the_same(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    (e0, m0), (e1, m1) = await take(redis)
    for entry, message in ((e0, m0), (e1, m1)):
        assert await store.begin(entry, message) is BeginResult.RUN
    mine, others = {"call": "mine"}, {"call": "other's"}
    for _ in range(2):
        assert await store.finish(e0, m0, result(m0), mine) is FinishResult.WRITTEN
        assert await store.finish(e0, m0, result(m0), others) is FinishResult.CLOSED
    for _ in range(2):
        assert await store.finish(e1, m1, failure(m1), mine) is FinishResult.COMPLETED
        assert await store.finish(e1, m1, result(m1), others) is FinishResult.CLOSED
    # The other image closed the task: only one call may return that it did.
    assert await store.finish(e0, m0, result(m0), mine) is FinishResult.WRITTEN
    state = await store.state("t1")
    assert state is not None
    assert (state.progress.done, len(state.results), len(state.errors)) == (2, 1, 1)
    assert await redis.xlen(KEYS.events) == 1
    assert await store.delete("t1")
    assert await store.finish(e1, m1, failure(m1), mine) is FinishResult.GONE


async def test_partial_failure_completes_and_total_failure_fails(
    redis: Redis, store: TaskStore
) -> None:
    await store.submit("part", messages("part", 2), max_backlog=10)
    await store.submit("none", messages("none", 1), max_backlog=10)
    (e0, m0), (e1, m1), (e2, m2) = await take(redis)
    for entry, message in ((e0, m0), (e1, m1), (e2, m2)):
        await store.begin(entry, message)
    await store.finish(e0, m0, failure(m0), {})
    assert await store.finish(e1, m1, result(m1), {}) is FinishResult.COMPLETED
    assert await store.finish(e2, m2, failure(m2), {}) is FinishResult.FAILED
    for (_, event), task_id in zip(await redis.xrange(KEYS.events), ("part", "none"), strict=True):
        state = await store.state(task_id)
        assert state is not None
        assert event[b"payload"].decode() == state.model_dump_json()
        assert state.errors[0].detail == 'broken "quote" \\ and ü'


LOOKS_LIKE_JSON = '","needs_review":true,"x":"\\","needs_review":true.webp'


@pytest.mark.parametrize(
    ("reviews", "expected"), [((False, False), False), ((False, True), True), ((True, None), True)]
)
async def test_one_result_to_review_marks_its_task(
    redis: Redis, store: TaskStore, reviews: tuple[bool | None, ...], expected: bool
) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    for (entry, message), review in zip(await take(redis), reviews, strict=True):
        await store.begin(entry, message)
        covers = [Detection(quad=((-0.5, 0), (9.1, 0), (9, 3), (0, 3)), score=0.4)]
        public = ImageResult(
            filename=LOOKS_LIKE_JSON, url="/a", needs_review=bool(review),
            detections=covers if review else None,
        )  # fmt: skip
        await store.finish(entry, message, failure(message) if review is None else public, {})
    state = await store.state("t1")
    assert state is not None
    assert state.needs_review is expected
    assert [result.needs_review for result in state.results] == [
        review for review in reviews if review is not None
    ]
    [(_, event)] = await redis.xrange(KEYS.events)
    assert event[b"payload"].decode() == state.model_dump_json()


async def test_results_of_an_older_worker_are_read(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    (e0, m0), (e1, m1) = await take(redis)
    await store.begin(e0, m0)
    await store.finish(e0, m0, result(m0), {})
    old = '{"filename":"covered_0.webp","url":"/covered_0.webp"}'
    await redis.hset(KEYS.task("t1"), "result:0", old)
    state = await store.state("t1")
    assert state is not None
    assert (state.needs_review, state.results) == (False, [result(m0)])
    await store.begin(e1, m1)
    await store.finish(e1, m1, result(m1).model_copy(update={"needs_review": True}), {})
    [(_, event)] = await redis.xrange(KEYS.events)
    completion = CompletionEvent.from_fields(event)
    assert completion.state == await store.state("t1")
    assert completion.state.needs_review


async def test_an_outside_publisher_needs_no_submit(redis: Redis, store: TaskStore) -> None:
    entry = await redis.xadd(KEYS.images, {"v": "1", "task_id": "d1", "image": b"raw"})
    [(_, message)] = await take(redis)
    assert await store.state("d1") is None
    assert await store.begin(entry.decode(), message) is BeginResult.RUN
    state = await store.state("d1")
    assert state is not None
    assert (state.status, state.progress.total) == (TaskStatus.PROCESSING, 1)
    assert 0 < await redis.pttl(KEYS.task("d1")) <= TTL_MS


async def test_entries_that_contradict_their_task(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    (entry, m0), _ = await take(redis)
    assert await store.begin(entry, m0) is BeginResult.RUN

    def changed(**change: object) -> ImageMessage:
        return ImageMessage.model_validate({**m0.model_dump(exclude_none=True), **change})

    assert await store.begin(entry, changed(total=3)) is BeginResult.TOTAL_CONFLICT
    assert await store.begin(entry, changed(total=None, index=7)) is BeginResult.INDEX_OUT_OF_RANGE
    other = changed(object="t1/input/9")
    assert await store.begin(entry, other) is BeginResult.INDEX_CONFLICT
    taken = changed(index=1, object="t1/input/1")
    assert await store.begin(entry, taken) is BeginResult.OUTPUT_CONFLICT
    state = await store.state("t1")
    assert state is not None
    assert (state.progress.done, state.errors) == (0, [])


async def test_a_full_server_refuses_new_work_and_finishes_accepted_work(
    redis: Redis, store: TaskStore
) -> None:
    await store.submit("t1", messages("t1", 1), max_backlog=10)
    [(entry, message)] = await take(redis)
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(ResponseError, match=r"memory|OOM"):
            await store.submit("t2", messages("t2", 1), max_backlog=10)
        assert await store.begin(entry, message) is BeginResult.RUN
        assert await store.finish(entry, message, result(message), {}) is FinishResult.COMPLETED
    finally:
        await redis.config_set("maxmemory", "0")
    assert await store.state("t2") is None


async def test_a_lowered_limit_applies_to_new_tasks_only(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 3), max_backlog=9)
    (entry, message), *_ = await take(redis)
    assert await store.begin(entry, message, max_total=2) is BeginResult.RUN
    for task_id, total, expected in (
        ("d2", 2, BeginResult.RUN),
        ("d3", 3, BeginResult.TOTAL_TOO_LARGE),
    ):
        direct = messages(task_id, total)[0]
        entry = (await redis.xadd(KEYS.images, direct.to_fields())).decode()  # type: ignore[arg-type]
        assert await store.begin(entry, direct, max_total=2) is expected
    assert await store.state("d3") is None
