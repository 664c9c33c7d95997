"""The steps of corrections: accepted once, made once, and never on top of a newer version."""

import asyncio
import json
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from schemas.contract.corrections import (
    MAX_CORRECTIONS,
    CorrectionErrorCode,
    CorrectionMessage,
    CoversToAdd,
)
from schemas.contract.events import ResultUpdatedEvent
from schemas.redis.corrections import (
    AcceptedCorrection,
    CorrectionEnd,
    CorrectionRefusedError,
    CorrectionStore,
)
from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.results import CorrectionResult
from schemas.redis.task_store import TaskStore
from tests.integration.schemas.steps import KEYS, TTL_MS, failure, messages, result, take

pytestmark = pytest.mark.integration

NAME = "covered_0.webp"
TASK = KEYS.task("t1")
MESSAGE = CorrectionMessage("t1", 0)


def covers(x: float = 10) -> CoversToAdd:
    return CoversToAdd.model_validate({"covers": [[[x, 0], [x + 9, 0], [x + 9, 4], [x, 4]]]})


@pytest.fixture
async def corrections(redis: Redis) -> CorrectionStore:
    await redis.xgroup_create(KEYS.corrections, WORKERS_GROUP, "0", mkstream=True)
    return CorrectionStore(redis, KEYS, task_ttl_ms=TTL_MS)


@pytest.fixture
async def completed(redis: Redis, store: TaskStore) -> None:
    """A task of two images, of which the second one failed."""
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    (e0, m0), (e1, m1) = await take(redis)
    await store.begin(e0, m0)
    await store.begin(e1, m1)
    needing = result(m0).model_copy(update={"needs_review": True})
    await store.finish(e0, m0, needing, {"doubt": {"reason": "not_covered", "score": 0.6}})
    await store.finish(e1, m1, failure(m1), {})


async def add(
    corrections: CorrectionStore, correction_id: str = "c1", x: float = 10, by: str = "key"
) -> AcceptedCorrection:
    return await corrections.add("t1", NAME, correction_id, covers(x), by, max_backlog=100)


async def entries(redis: Redis, consumer: str = "w1") -> list[str]:
    reply: Any = await redis.xreadgroup(WORKERS_GROUP, consumer, {KEYS.corrections: ">"})
    return [entry.decode() for entry, _ in reply[0][1]] if reply else []


async def make(corrections: CorrectionStore, entry: str, file: str) -> CorrectionResult:
    """Do what a worker does with an entry."""
    found = await corrections.begin(entry, MESSAGE)
    assert found is not None
    ends = [CorrectionEnd(one, size=(80, 60)) for one in found.covers]
    return await corrections.finish(entry, MESSAGE, found.version, ends, file=file, sha256="ab")


async def updates(redis: Redis) -> list[ResultUpdatedEvent]:
    rows = await redis.xrange(KEYS.events)
    return [
        ResultUpdatedEvent.from_fields(fields)
        for _, fields in rows
        if fields[b"type"] == b"result.updated"
    ]


@pytest.mark.usefixtures("completed")
async def test_a_correction_becomes_a_version_with_one_event(
    redis: Redis, store: TaskStore, corrections: CorrectionStore
) -> None:
    accepted = await add(corrections)
    assert accepted.is_waiting
    [entry] = await entries(redis)
    found = await corrections.begin(entry, MESSAGE)
    assert found is not None
    assert (found.version, found.file) == (0, NAME)
    assert found.covers == {"c1": [[[10, 0], [19, 0], [19, 4], [10, 4]]]}
    ends = [CorrectionEnd("c1", size=(80, 60))]
    for _ in range(2):  # repeated after a lost response
        done = await corrections.finish(entry, MESSAGE, 0, ends, file="0.v1-aa", sha256="ab")
        assert done is CorrectionResult.WRITTEN
    located = await store.locate_result("t1", NAME)
    assert located is not None
    assert (located.file, located.version) == ("0.v1-aa", 1)
    state = await store.state("t1")
    assert state is not None
    assert state.results[0].version == 1
    [event] = await updates(redis)
    assert (event.event_id, event.filename, event.version) == ("upd_t1_0_1", NAME, 1)
    assert event.payload == state.model_copy(update={"updated": NAME}).model_dump_json()
    now = await corrections.again("t1", accepted)
    assert now is not None
    assert (now.version, now.result.version) == (1, 1)
    assert await corrections.begin(entry, MESSAGE) is None
    assert await corrections.waiting() == 0


@pytest.mark.usefixtures("completed")
async def test_a_repeated_request_adds_nothing(redis: Redis, corrections: CorrectionStore) -> None:
    await add(corrections)
    assert (await add(corrections)).is_waiting
    assert await corrections.waiting() == 1
    await make(corrections, (await entries(redis))[0], "0.v1-aa")
    assert (await add(corrections)).version == 1
    assert await corrections.waiting() == 0
    with pytest.raises(CorrectionRefusedError, match="conflict"):
        await add(corrections, x=11)


@pytest.mark.usefixtures("completed")
async def test_a_stalled_worker_never_overwrites_a_newer_version(
    redis: Redis, store: TaskStore, corrections: CorrectionStore
) -> None:
    await add(corrections)
    [entry] = await entries(redis)
    stalled = await corrections.begin(entry, MESSAGE)
    assert stalled is not None
    assert await make(corrections, entry, "0.v1-bb") is CorrectionResult.WRITTEN
    await add(corrections, "c2")
    [second] = await entries(redis)
    for ends in ([CorrectionEnd("c1")], [CorrectionEnd("c2")]):
        done = await corrections.finish(entry, MESSAGE, stalled.version, ends, file="0.v1-aa")
        assert done is CorrectionResult.STALE
    assert await make(corrections, second, "0.v2-cc") is CorrectionResult.WRITTEN
    located = await store.locate_result("t1", NAME)
    assert located is not None
    assert located.file == "0.v2-cc"
    assert [event.version for event in await updates(redis)] == [1, 2]


@pytest.mark.usefixtures("completed")
async def test_a_correction_that_was_refused_meanwhile_is_not_made(
    redis: Redis, store: TaskStore, corrections: CorrectionStore
) -> None:
    accepted = await add(corrections)
    [entry] = await entries(redis)
    assert await corrections.begin(entry, MESSAGE) is not None
    refused = [CorrectionEnd("c1", CorrectionErrorCode.OUTSIDE_IMAGE)]
    assert await corrections.finish(entry, MESSAGE, 0, refused) is CorrectionResult.WRITTEN
    late = [CorrectionEnd("c1")]
    done = await corrections.finish(entry, MESSAGE, 0, late, file="0.v1-aa")
    assert done is CorrectionResult.STALE
    now = await corrections.again("t1", accepted)
    assert now is not None
    assert (now.code, now.result.version) == (CorrectionErrorCode.OUTSIDE_IMAGE, 0)
    assert await updates(redis) == []
    located = await store.locate_result("t1", NAME)
    assert located is not None
    assert located.file == NAME


@pytest.mark.usefixtures("completed")
async def test_corrections_of_many_clients_at_once_are_all_in_the_result(
    redis: Redis, store: TaskStore, corrections: CorrectionStore
) -> None:
    async def client(number: int) -> None:
        await add(corrections, f"c{number}", x=number)

    async def worker(name: str) -> None:
        while await corrections.waiting():
            for entry in await entries(redis, name):
                for attempt in range(99):
                    found = await corrections.begin(entry, MESSAGE)
                    if found is None:
                        break
                    await asyncio.sleep(0)
                    ends = [CorrectionEnd(one) for one in found.covers]
                    file = f"0.v{found.version + len(ends)}-{name}{attempt}"
                    done = await corrections.finish(entry, MESSAGE, found.version, ends, file=file)
                    if done is CorrectionResult.WRITTEN:
                        made.extend(found.covers)
                        break

    made: list[str] = []
    await asyncio.gather(*(client(number) for number in range(12)))
    await asyncio.gather(*(worker(name) for name in ("a", "b", "c")))
    assert sorted(made) == sorted(f"c{number}" for number in range(12)), "each of them once"
    state = await store.state("t1")
    assert state is not None
    assert state.results[0].version == 12
    published = await updates(redis)
    assert len({event.event_id for event in published}) == len(published)
    assert published[-1].version == 12


@pytest.mark.usefixtures("completed")
async def test_after_a_deletion_nothing_is_made(
    redis: Redis, store: TaskStore, corrections: CorrectionStore
) -> None:
    await add(corrections)
    [entry] = await entries(redis)
    await corrections.begin(entry, MESSAGE)
    await store.delete("t1")
    done = await corrections.finish(entry, MESSAGE, 0, [CorrectionEnd("c1")], file="0.v1-aa")
    assert done is CorrectionResult.GONE
    assert await corrections.waiting() == 0
    with pytest.raises(CorrectionRefusedError, match="unknown_result"):
        await add(corrections, "c2")
    await redis.delete(TASK)  # as if it had expired
    with pytest.raises(CorrectionRefusedError, match="unknown_task"):
        await add(corrections, "c2")
    assert not await redis.exists(TASK)


async def test_what_is_refused(
    redis: Redis, store: TaskStore, corrections: CorrectionStore
) -> None:
    await store.submit("t1", messages("t1", 2), max_backlog=10)
    (e0, m0), (e1, m1) = await take(redis)
    await store.begin(e0, m0)
    await store.begin(e1, m1)
    await store.finish(e0, m0, result(m0), {})
    with pytest.raises(CorrectionRefusedError, match="open"):
        await add(corrections)
    with pytest.raises(CorrectionRefusedError, match="open"):
        await corrections.accept("t1", NAME, "")
    await store.finish(e1, m1, failure(m1), {})
    for name in ("covered_1.webp", "other.webp", "\udcff.webp"):
        with pytest.raises(CorrectionRefusedError, match="unknown_result"):
            await corrections.add("t1", name, "c1", covers(), "", max_backlog=9)
    with pytest.raises(CorrectionRefusedError, match="backlog"):
        await corrections.add("t1", NAME, "c1", covers(), "", max_backlog=0)
    for number in range(MAX_CORRECTIONS):
        await add(corrections, f"c{number}")
    with pytest.raises(CorrectionRefusedError, match="too_many"):
        await add(corrections, "one-more")
    assert (await add(corrections, "c0")).is_waiting, "a repeat is no further one"


@pytest.mark.usefixtures("completed")
async def test_a_full_server_refuses_corrections_and_finishes_accepted_ones(
    redis: Redis, corrections: CorrectionStore
) -> None:
    await add(corrections)
    [entry] = await entries(redis)
    await redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(ResponseError, match=r"memory|OOM"):
            await add(corrections, "c2")
        assert await make(corrections, entry, "0.v1-aa") is CorrectionResult.WRITTEN
        await corrections.accept("t1", NAME, "")
    finally:
        await redis.config_set("maxmemory", "0")


@pytest.mark.usefixtures("completed")
async def test_a_correction_extends_the_life_of_its_task(
    redis: Redis, corrections: CorrectionStore
) -> None:
    for step in ("add", "begin", "mend", "finish"):
        await redis.pexpire(TASK, 5000)
        if step == "add":
            await add(corrections)
            [entry] = await entries(redis)
        elif step == "begin":
            found = await corrections.begin(entry, MESSAGE)
        elif step == "mend":
            assert await corrections.mend("t1") == (0, 0)
        else:
            assert found is not None
            ends = [CorrectionEnd("c1")]
            await corrections.finish(entry, MESSAGE, found.version, ends, file="0.v1-aa")
        assert await redis.pttl(TASK) > 5000, step
    await redis.pexpire(TASK, 5000)
    await corrections.accept("t1", NAME, "")
    await corrections.mend("t1")
    assert await redis.pttl(TASK) <= 5000, "nothing waits any more"


@pytest.mark.usefixtures("completed")
async def test_deleted_entries_and_unreported_events_come_back(
    redis: Redis, corrections: CorrectionStore
) -> None:
    await add(corrections)
    await redis.delete(KEYS.corrections)
    assert await corrections.mend("t1") == (1, 0)
    assert await corrections.mend("t1") == (0, 0)
    await redis.xgroup_create(KEYS.corrections, WORKERS_GROUP, "0")
    [entry] = await entries(redis)
    await make(corrections, entry, "0.v1-aa")
    [before] = await updates(redis)
    await redis.delete(KEYS.events)
    assert await corrections.mend("t1") == (0, 1)
    assert await updates(redis) == [before]


async def test_an_overwritten_task_ends_its_entry(
    redis: Redis, corrections: CorrectionStore
) -> None:
    fields = {"v": 1, "task_id": "t1", "index": 0}
    entry = (await redis.xadd(KEYS.corrections, fields)).decode()  # type: ignore[arg-type]
    await redis.set(TASK, "not a hash")
    assert await corrections.begin(entry, MESSAGE) is None
    assert await corrections.waiting() == 0


@pytest.mark.usefixtures("completed")
async def test_which_files_are_obsolete(redis: Redis, corrections: CorrectionStore) -> None:
    await add(corrections)
    [entry] = await entries(redis)
    waiting = await corrections.output_files("t1")
    assert not waiting.is_obsolete("0.v1-aa"), "it may still become the current one"
    await make(corrections, entry, "0.v1-aa")
    files = await corrections.output_files("t1")
    names = (NAME, "0.v1-aa", "0.v1-bb", "1.v1-aa", "foreign.webp")
    assert [files.is_obsolete(name) for name in names] == [True, False, True, False, False]


@pytest.mark.usefixtures("completed")
async def test_what_was_asked_for_is_kept_with_the_task(
    redis: Redis, corrections: CorrectionStore
) -> None:
    await add(corrections, by="0123456789ab")
    await make(corrections, (await entries(redis))[0], "0.v1-aa")
    asked = orjson.loads(await redis.hget(TASK, "correction:c1"))
    assert asked.pop("at") > 0
    assert asked == {
        "index": 0, "by": "0123456789ab", "covers": [[[10, 0], [19, 0], [19, 4], [10, 4]]],
    }  # fmt: skip
    made = json.loads(await redis.hget(TASK, "corrected:c1"))
    assert made.pop("at") > 0
    assert made == {"version": 1, "width": 80, "height": 60}


@pytest.mark.usefixtures("completed")
async def test_an_acceptance_and_a_correction_at_once_keep_both(
    redis: Redis, store: TaskStore, corrections: CorrectionStore
) -> None:
    await add(corrections)
    [entry] = await entries(redis)
    found = await corrections.begin(entry, MESSAGE)
    assert found is not None
    for _ in range(2):
        assert (await corrections.accept("t1", NAME, "key")).needs_review is False
    ends = [CorrectionEnd("c1")]
    await corrections.finish(entry, MESSAGE, found.version, ends, file="0.v1-aa")
    state = await store.state("t1")
    assert state is not None
    assert (state.needs_review, state.results[0].version) == (False, 1)
    assert orjson.loads(await redis.hget(TASK, "accepted:0"))["by"] == "key"
