"""The atomic steps against a real server: every answer, and each step twice."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from schemas.errors import ImageErrorCode
from schemas.events import CompletionEvent
from schemas.keys import WORKERS_GROUP, Keys
from schemas.messages import ContractLimits, ImageMessage
from schemas.store import (
    BeginAnswer,
    Binding,
    EarlierUse,
    FinishAnswer,
    KeyBusyError,
    SubmitAnswer,
    TaskStore,
)
from schemas.tasks import Detection, ImageFailure, ImageResult, TaskStatus

pytestmark = pytest.mark.integration
KEYS = Keys("{plates}")
TTL_MS = 60_000
LIMITS = ContractLimits(max_total=50, inline_max_bytes=1000)


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server) as client:
        await client.xgroup_create(KEYS.images, WORKERS_GROUP, "0", mkstream=True)
        yield client


@pytest.fixture
def store(redis: Redis) -> TaskStore:
    return TaskStore(redis, KEYS, task_ttl_ms=TTL_MS)


def messages(task_id: str, total: int) -> list[ImageMessage]:
    return [
        ImageMessage(task_id=task_id, index=i, total=total, object=f"{task_id}/input/{i}",
                     filename=f"{i}.jpg", output=f"covered_{i}.webp")
        for i in range(total)
    ]  # fmt: skip


async def take(redis: Redis, consumer: str = "c1") -> list[tuple[str, ImageMessage]]:
    answer: Any = await redis.xreadgroup(WORKERS_GROUP, consumer, {KEYS.images: ">"}, count=100)
    rows = answer[0][1] if answer else []
    return [(entry.decode(), ImageMessage.from_fields(fields, LIMITS)) for entry, fields in rows]


def result(message: ImageMessage) -> ImageResult:
    return ImageResult(filename=message.output_name, url=f"/{message.output_name}")


def failure(message: ImageMessage) -> ImageFailure:
    return ImageFailure(
        index=message.index, filename=message.filename, code=ImageErrorCode.CORRUPT_IMAGE,
        detail='broken "quote" \\ and ü',
    )  # fmt: skip


async def test_submit_is_whole_and_repeatable(redis: Redis, store: TaskStore) -> None:
    batch = messages("t1", 3)
    assert await store.submit("t1", batch, max_backlog=3) is SubmitAnswer.ACCEPTED
    assert await store.submit("t1", batch, max_backlog=3) is SubmitAnswer.EXISTS
    assert await store.submit("t2", messages("t2", 1), max_backlog=3) is SubmitAnswer.BACKLOG
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
    assert await store.begin(first, m0) is BeginAnswer.RUN
    state = await store.state("t1")
    assert state is not None
    assert state.status is TaskStatus.PROCESSING
    assert await store.begin(second, m1) is BeginAnswer.RUN
    # Finished in reverse order: results keep index order all the same.
    assert await store.finish(second, m1, result(m1), {}) is FinishAnswer.WRITTEN
    assert await store.finish(first, m0, result(m0), {}) is FinishAnswer.COMPLETED
    assert await store.finish(first, m0, result(m0), {"call": "other"}) is FinishAnswer.CLOSED
    assert await store.begin(first, m0) is BeginAnswer.DUPLICATE

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


async def test_repeated_finish_is_answered_as_the_first(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    (e0, m0), (e1, m1) = await take(redis)
    for entry, message in ((e0, m0), (e1, m1)):
        assert await store.begin(entry, message) is BeginAnswer.RUN
    mine, others = {"call": "mine"}, {"call": "other's"}
    for _ in range(2):
        assert await store.finish(e0, m0, result(m0), mine) is FinishAnswer.WRITTEN
        assert await store.finish(e0, m0, result(m0), others) is FinishAnswer.CLOSED
    for _ in range(2):
        assert await store.finish(e1, m1, failure(m1), mine) is FinishAnswer.COMPLETED
        assert await store.finish(e1, m1, result(m1), others) is FinishAnswer.CLOSED
    # The task was closed by the other image: only one call may say that it ended it.
    assert await store.finish(e0, m0, result(m0), mine) is FinishAnswer.WRITTEN
    state = await store.state("t1")
    assert state is not None
    assert (state.progress.done, len(state.results), len(state.errors)) == (2, 1, 1)
    assert await redis.xlen(KEYS.events) == 1
    assert await store.delete("t1")
    assert await store.finish(e1, m1, failure(m1), mine) is FinishAnswer.GONE


async def test_partial_failure_completes_and_total_failure_fails(
    redis: Redis, store: TaskStore
) -> None:
    await store.submit("part", messages("part", 2), max_backlog=10)
    await store.submit("none", messages("none", 1), max_backlog=10)
    (e0, m0), (e1, m1), (e2, m2) = await take(redis)
    for entry, message in ((e0, m0), (e1, m1), (e2, m2)):
        await store.begin(entry, message)
    await store.finish(e0, m0, failure(m0), {})
    assert await store.finish(e1, m1, result(m1), {}) is FinishAnswer.COMPLETED
    assert await store.finish(e2, m2, failure(m2), {}) is FinishAnswer.FAILED
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
    told = CompletionEvent.from_fields(event)
    assert told.state == await store.state("t1")
    assert told.state.needs_review


async def test_direct_publisher_needs_no_submit(redis: Redis, store: TaskStore) -> None:
    entry = await redis.xadd(KEYS.images, {"v": "1", "task_id": "d1", "image": b"raw"})
    [(_, message)] = await take(redis)
    assert await store.state("d1") is None
    assert await store.begin(entry.decode(), message) is BeginAnswer.RUN
    state = await store.state("d1")
    assert state is not None
    assert (state.status, state.progress.total) == (TaskStatus.PROCESSING, 1)
    assert 0 < await redis.pttl(KEYS.task("d1")) <= TTL_MS


async def test_entries_that_contradict_their_task(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    (entry, m0), _ = await take(redis)
    assert await store.begin(entry, m0) is BeginAnswer.RUN

    def changed(**change: object) -> ImageMessage:
        return ImageMessage.model_validate({**m0.model_dump(exclude_none=True), **change})

    assert await store.begin(entry, changed(total=3)) is BeginAnswer.TOTAL_CONFLICT
    assert await store.begin(entry, changed(total=None, index=7)) is BeginAnswer.INDEX_OUT_OF_RANGE
    other = changed(object="t1/input/9")
    assert await store.begin(entry, other) is BeginAnswer.INDEX_CONFLICT
    taken = changed(index=1, object="t1/input/1")
    assert await store.begin(entry, taken) is BeginAnswer.OUTPUT_CONFLICT
    state = await store.state("t1")
    assert state is not None
    assert (state.progress.done, state.errors) == (0, [])


async def test_renew_keeps_only_what_is_owned(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    entries = [entry for entry, _ in await take(redis, "c1")]
    assert await store.renew("c1", entries) == []
    await redis.xclaim(KEYS.images, WORKERS_GROUP, "c2", 0, [entries[0]])
    assert await store.renew("c1", entries) == [entries[0]]
    rows: Any = await redis.xpending_range(KEYS.images, WORKERS_GROUP, "-", "+", 10)
    assert [row["times_delivered"] for row in rows] == [2, 1], "a renewal is no delivery"
    await redis.xack(KEYS.images, WORKERS_GROUP, entries[1])
    assert await store.renew("c1", entries) == [entries[0]], "what was settled is not lost"


async def test_dead_letter_fails_its_image_once(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 1), max_backlog=10)
    [(entry, message)] = await take(redis)

    async def bury() -> FinishAnswer:
        return await store.dead_letter(
            entry, reason="too_many_deliveries", task_id="t1", total=1,
            failure=failure(message), metadata={"deliveries": 4},
        )  # fmt: skip

    assert await bury() is FinishAnswer.FAILED
    assert await bury() is FinishAnswer.SETTLED
    letters: Any = await redis.xrange(KEYS.dead_letters)
    assert len(letters) == 1
    assert letters[0][1][b"reason"] == b"too_many_deliveries"
    assert await redis.xlen(KEYS.events) == 1
    assert await store.backlog() == 0


async def test_dead_letter_of_a_task_nobody_knows_opens_and_fails_it(
    redis: Redis, store: TaskStore
) -> None:
    entry = (await redis.xadd(KEYS.images, {"v": "1", "task_id": "d1"})).decode()
    await take_raw(redis)
    lost = ImageFailure(
        index=0, filename=None, code=ImageErrorCode.INVALID_MESSAGE, detail="no image"
    )
    done = await store.dead_letter(entry, reason="invalid", task_id="d1", failure=lost)
    assert done is FinishAnswer.FAILED
    state = await store.state("d1")
    assert state is not None
    assert state.errors == [lost]


async def take_raw(redis: Redis) -> None:
    await redis.xreadgroup(WORKERS_GROUP, "c1", {KEYS.images: ">"}, count=100)


async def test_expire_waits_for_silence_and_for_the_queue(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    assert await store.expire("t1", timeout_ms=60_000) == "active"
    assert await store.expire("t1", timeout_ms=0) == "queued"
    await redis.xtrim(KEYS.images, maxlen=0, approximate=False)
    assert await store.expire("t1", timeout_ms=0) == "failed"
    assert await store.expire("t1", timeout_ms=0) == "closed"
    state = await store.state("t1")
    assert state is not None
    assert [error.code for error in state.errors] == [ImageErrorCode.TIMED_OUT] * 2
    [(_, event)] = await redis.xrange(KEYS.events)
    assert event[b"payload"].decode() == state.model_dump_json()


async def test_delete_leaves_a_tombstone(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    (e0, m0), (e1, m1) = await take(redis)
    await store.begin(e0, m0)
    await store.finish(e0, m0, result(m0), {})
    assert await store.delete("t1")
    assert await store.delete("t1")
    assert not await store.delete("t2")
    assert await store.begin(e1, m1) is BeginAnswer.GONE
    assert await store.finish(e1, m1, result(m1), {}) is FinishAnswer.GONE
    state = await store.state("t1")
    assert state is not None
    assert (state.status, state.results) == (TaskStatus.FAILED, [])
    assert await redis.xlen(KEYS.events) == 1
    assert await store.backlog() == 0
    assert 0 < await redis.pttl(KEYS.task("t1")) <= TTL_MS


async def test_reap_never_strands_pending_entries(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 1), max_backlog=10)
    await take(redis, "holds")
    await redis.xreadgroup(WORKERS_GROUP, "idle", {KEYS.images: ">"})
    assert await store.reap(KEYS.images, WORKERS_GROUP, min_idle_ms=60_000) == []
    reaped = await store.reap(KEYS.images, WORKERS_GROUP, min_idle_ms=0)
    assert "holds" not in reaped
    assert await store.reap("{plates}:none", WORKERS_GROUP, min_idle_ms=0) == []


async def test_full_server_refuses_work_and_finishes_what_it_has(
    redis: Redis, store: TaskStore
) -> None:
    await store.submit("t1", messages("t1", 1), max_backlog=10)
    [(entry, message)] = await take(redis)
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(ResponseError, match=r"memory|OOM"):
            await store.submit("t2", messages("t2", 1), max_backlog=10)
        assert await store.begin(entry, message) is BeginAnswer.RUN
        assert await store.finish(entry, message, result(message), {}) is FinishAnswer.COMPLETED
    finally:
        await redis.config_set("maxmemory", "0")
    assert await store.state("t2") is None


async def test_idempotency_key_from_its_hold_to_its_task(redis: Redis, store: TaskStore) -> None:
    record = KEYS.idempotency("k")
    assert await store.reserve("k", "one", lease_ms=5000) is None
    assert await store.reserve("k", "one", lease_ms=9000) is None  # the same upload: a renewal
    assert 5000 < await redis.pttl(record) <= 9000
    with pytest.raises(KeyBusyError):
        await store.reserve("k", "two", lease_ms=5000)
    await store.release("k", "two")
    assert await redis.exists(record)

    late = Binding("k", "two", "d2")
    answer = await store.submit("t2", messages("t2", 1), max_backlog=9, binding=late)
    assert answer is SubmitAnswer.LOST
    assert await store.backlog() == 0
    assert await store.state("t2") is None

    binding = Binding("k", "one", "d1")
    for expected in (SubmitAnswer.ACCEPTED, SubmitAnswer.EXISTS):
        answer = await store.submit("t1", messages("t1", 1), max_backlog=9, binding=binding)
        assert answer is expected
    for token in ("one", "two"):
        assert await store.reserve("k", token, lease_ms=5) == EarlierUse("t1", "d1")
        await store.release("k", token)
    assert await redis.pttl(record) > await redis.pttl(KEYS.task("t1")) > 0


async def test_refused_submit_leaves_the_key_to_its_holder(redis: Redis, store: TaskStore) -> None:
    await store.reserve("k", "one", lease_ms=5000)
    binding = Binding("k", "one", "d")
    answer = await store.submit("t1", messages("t1", 1), max_backlog=0, binding=binding)
    assert answer is SubmitAnswer.BACKLOG
    with pytest.raises(KeyBusyError):
        await store.reserve("k", "two", lease_ms=5000)
    await store.release("k", "one")
    assert not await redis.exists(KEYS.idempotency("k"))
    # The lease may have run out with nobody else interested: the submit is as good as before.
    answer = await store.submit("t1", messages("t1", 1), max_backlog=9, binding=binding)
    assert answer is SubmitAnswer.ACCEPTED
    assert await store.reserve("k", "two", lease_ms=5) == EarlierUse("t1", "d")


async def test_key_lives_as_long_as_a_task_that_is_kept_open(
    redis: Redis, store: TaskStore
) -> None:
    await store.submit("t1", messages("t1", 1), max_backlog=9, binding=Binding("k", "one", "d"))
    await redis.pexpire(KEYS.idempotency("k"), 1000)
    await redis.pexpire(KEYS.task("t1"), 1000)
    assert await store.expire("t1", timeout_ms=60_000) == "active"
    assert await redis.pttl(KEYS.idempotency("k")) > await redis.pttl(KEYS.task("t1")) > 1000
    await redis.delete(KEYS.task("t1"))
    assert await store.reserve("k", "two", lease_ms=5000) is None


async def test_trials_of_an_image(redis: Redis, store: TaskStore) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    (e0, m0), (e1, m1) = await take(redis)
    assert await store.failed_trials(e0, m0, 1) == 0
    for delivery in (2, 2, 3):  # the second is the first again, its answer was lost
        await store.start_trial(e0, m0, delivery)
    assert await store.failed_trials(e0, m0, 3) == 2
    assert await store.failed_trials(e0, m0, 2) == 1, "the third is another worker's, under way"
    assert await store.failed_trials(e1, m1, 3) == 0
    await store.start_trial("9-9", m0, 3)  # added again after its stream was lost
    assert await store.failed_trials("9-9", m0, 3) == 3
    await store.acquit(m0)
    assert await store.failed_trials(e0, m0, 3) == 0
    await store.start_trial(e0, m0, 4)
    await store.finish(e0, m0, result(m0), {})
    assert await store.failed_trials(e0, m0, 4) == 0, "what has ended leaves nothing"


async def test_a_trial_makes_no_task(redis: Redis, store: TaskStore) -> None:
    await store.start_trial("1-1", messages("t1", 1)[0], 2)
    assert not await redis.exists(KEYS.task("t1"))
