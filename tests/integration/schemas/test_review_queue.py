"""The queue of results that need review: what gets into it, its pages, and what leaves it."""

import time

import pytest
from redis.asyncio import Redis

from schemas.contract.corrections import ReviewItem
from schemas.redis.corrections import CorrectionStore
from schemas.redis.reviews import Place, ReviewQueue
from schemas.redis.task_store import TaskStore
from tests.integration.schemas.steps import KEYS, TTL_MS, messages, result, take

pytestmark = pytest.mark.integration


@pytest.fixture
def queue(redis: Redis) -> ReviewQueue:
    return ReviewQueue(redis, KEYS)


async def end_task(
    redis: Redis, store: TaskStore, task_id: str, doubts: list[float | None]
) -> None:
    """A task one of whose images per doubt needs review; without one, it does not."""
    await store.submit(task_id, messages(task_id, len(doubts)), max_backlog=10_000)
    for (entry, message), doubt in zip(await take(redis), doubts, strict=True):
        await store.begin(entry, message)
        public = result(message).model_copy(update={"needs_review": doubt is not None})
        provenance = {"doubt": {"reason": "uncertain_cover", "score": doubt}} if doubt else {}
        await store.finish(entry, message, public, provenance)


def names(items: list[ReviewItem]) -> list[tuple[str, str]]:
    return [(item.task_id, item.result.filename) for item in items]


async def test_results_enter_with_the_end_of_their_task(
    redis: Redis, store: TaskStore, queue: ReviewQueue
) -> None:
    await store.submit("t0", messages("t0", 2), max_backlog=10)
    (entry, message), _ = await take(redis)
    await store.begin(entry, message)
    await store.finish(
        entry, message, result(message).model_copy(update={"needs_review": True}), {}
    )
    assert await queue.length() == 0, "its task is open"
    await redis.xtrim(KEYS.images, maxlen=0, approximate=False)
    assert await store.expire("t0", timeout_ms=0) == "completed"
    await end_task(redis, store, "t1", [0.4, None, 0.3])
    page = await queue.page(limit=10)
    assert names(page.items) == [
        ("t0", "covered_0.webp"), ("t1", "covered_0.webp"), ("t1", "covered_2.webp"),
    ]  # fmt: skip
    assert [(item.reason, item.score) for item in page.items] == [
        (None, None), ("uncertain_cover", 0.4), ("uncertain_cover", 0.3),
    ]  # fmt: skip
    assert (page.total, page.next) == (3, None)
    assert abs(page.items[1].finished_at.timestamp() - time.time()) < 60


async def test_pages_show_each_result_once_also_with_equal_times(
    redis: Redis, store: TaskStore, queue: ReviewQueue
) -> None:
    for number in range(3):
        await end_task(redis, store, f"t{number}", [0.4] * 50)
    members = await redis.zrange(KEYS.reviews, 0, -1)
    await redis.zadd(KEYS.reviews, dict.fromkeys(members, 1_700_000_000_000.5))
    seen: list[tuple[str, str]] = []
    after = None
    while True:
        page = await queue.page(limit=7, after=after)
        seen += names(page.items)
        if page.next is None:
            break
        after = Place.from_cursor(page.next)
        if len(seen) == 14:  # accepted between two pages
            corrections = CorrectionStore(redis, KEYS, task_ttl_ms=TTL_MS)
            await corrections.accept(*seen[-1], "")
    assert len(seen) == len(set(seen)) == 150


async def test_filters(redis: Redis, store: TaskStore, queue: ReviewQueue) -> None:
    await end_task(redis, store, "old", [0.4])
    await redis.zadd(KEYS.reviews, {"old:0": (time.time() - 3600) * 1000})
    await end_task(redis, store, "new", [0.2, 0.4])
    recent = await queue.page(limit=9, max_age_seconds=1800)
    assert names(recent.items) == [("new", "covered_0.webp"), ("new", "covered_1.webp")]
    assert recent.total == 3
    likely = await queue.page(limit=9, admits=lambda item: (item.score or 0) > 0.3)
    assert names(likely.items) == [("old", "covered_0.webp"), ("new", "covered_1.webp")]


async def test_what_is_accepted_deleted_or_gone_leaves(
    redis: Redis, store: TaskStore, queue: ReviewQueue
) -> None:
    corrections = CorrectionStore(redis, KEYS, task_ttl_ms=TTL_MS)
    for task_id in ("accepted", "deleted", "expired", "overwritten", "stays"):
        await end_task(redis, store, task_id, [0.4])
    await corrections.accept("accepted", "covered_0.webp", "")
    await store.delete("deleted")
    assert await queue.length() == 3
    await redis.delete(KEYS.task("expired"))
    await redis.set(KEYS.task("overwritten"), "not a hash")
    await redis.zadd(KEYS.reviews, {b"\xff": 5, "no member": 6})
    assert names((await queue.page(limit=9)).items) == [("stays", "covered_0.webp")]
    assert await queue.length() == 1


async def test_the_sweeper_drops_only_what_is_gone(
    redis: Redis, store: TaskStore, queue: ReviewQueue
) -> None:
    for number in range(3):
        await end_task(redis, store, f"t{number}", [0.4] * 60)
    for number in range(2):
        await redis.delete(KEYS.task(f"t{number}"))
    assert await queue.drop_expired(0) == 0
    assert await queue.drop_expired(time.time() * 1000 + 1000) == 120
    assert await queue.length() == 60


async def test_an_overwritten_queue_keeps_no_task_open(
    redis: Redis, store: TaskStore, queue: ReviewQueue
) -> None:
    await redis.set(KEYS.reviews, "not a set")
    await end_task(redis, store, "t1", [0.4])
    state = await store.state("t1")
    assert state is not None
    assert state.status.is_final
    assert await store.delete("t1")


@pytest.mark.parametrize("cursor", ["", "1", "x~t1:0", "1~t1", "-1~t1:0", "1~t/1:0", "1e9~t1:0"])
def test_a_foreign_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        Place.from_cursor(cursor)
