"""Covers that people add over HTTP."""

import asyncio
import hashlib
import io
from typing import Any

import pytest

from schemas.contract.corrections import CorrectionErrorCode, CorrectionMessage
from schemas.contract.tasks import ImageResult
from schemas.redis.corrections import CorrectionEnd, CorrectionStore
from schemas.redis.keys import WORKERS_GROUP
from schemas.redis.results import CorrectionResult
from schemas.redis.scripts import ensure_group
from tests.integration.producer.conftest import JPEG, RunningProducer, StartProducer, eventually
from tests.integration.producer.reviewing import NAME, completed, task_of

pytestmark = pytest.mark.integration

SQUARE = [[10, 10], [40, 10], [40, 20], [10, 20]]
BODY = {"covers": [SQUARE]}


def corrections_of(producer: RunningProducer) -> CorrectionStore:
    return CorrectionStore(producer.redis, producer.keys, task_ttl_ms=1_000_000)


async def make_next(producer: RunningProducer, content: bytes | None = b"second") -> None:
    """Do what a worker does; `None`: refuse."""
    store = corrections_of(producer)
    await ensure_group(producer.redis, producer.keys.corrections, WORKERS_GROUP)
    await eventually(lambda: _is_waiting(store))
    [[_, [[entry, fields]]]] = await producer.redis.xreadgroup(
        WORKERS_GROUP, "w", {producer.keys.corrections: ">"}, count=1
    )
    message = CorrectionMessage.from_fields(fields)
    found = await store.begin(entry.decode(), message)
    assert found is not None
    code = None if content else CorrectionErrorCode.OUTSIDE_IMAGE
    ends = [CorrectionEnd(one, code) for one in found.covers]
    file = f"0.v{found.version + 1}-ab" if content else ""
    if content:
        await producer.storage.put(f"{message.task_id}/output/{file}", content)
    done = await store.finish(entry.decode(), message, found.version, ends, file=file)
    assert done is CorrectionResult.WRITTEN
    if content:
        await producer.storage.delete(f"{message.task_id}/output/{found.file}")


async def _is_waiting(store: CorrectionStore) -> bool:
    return await store.waiting() > 0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A response does not wait for the correction to be made."""
    monkeypatch.setattr("producer.routes.reviews.WAIT_SECONDS", 0.0)


async def test_the_response_comes_with_the_new_version(producer: RunningProducer) -> None:
    path = await completed(producer)
    request = producer.session.post(f"{producer.url}{path}/covers", json=BODY)
    made = asyncio.create_task(make_next(producer))
    async with asyncio.timeout(5), request as response:
        state = await response.json()
    await made
    assert (response.status, state["status"]) == (200, "done")
    assert state["result"] == {
        "index": 0, "filename": NAME,
        "url": f"/tasks_storage/{task_of(path)}/output/{NAME}", "version": 1,
    }  # fmt: skip
    assert response.headers["Location"] == f"/api/v1/task-status/{task_of(path)}"
    _, status = await producer.call("GET", f"/api/v1/task-status/{task_of(path)}")
    assert status["results"] == [state["result"]]
    assert set(status) == {
        "task_id", "status", "results", "errors", "progress", "needs_review",
    }  # fmt: skip


@pytest.mark.usefixtures("impatient")
async def test_a_repeat_with_the_same_key_adds_nothing_and_tells_the_state(
    producer: RunningProducer,
) -> None:
    path = await completed(producer)
    key = {"Idempotency-Key": "one"}
    answers = await asyncio.gather(
        *(producer.call("POST", f"{path}/covers", json=BODY, headers=key) for _ in range(5))
    )
    assert {(status, state["status"]) for status, state in answers} == {(202, "pending")}
    assert len({state["correction_id"] for _, state in answers}) == 1
    assert await corrections_of(producer).waiting() == 1
    await make_next(producer)
    status, state = await producer.call("POST", f"{path}/covers", json=BODY, headers=key)
    assert (status, state["status"], state["result"]["version"]) == (200, "done", 1)
    other = {"covers": [[[1, 1], [9, 1], [9, 9], [1, 9]]]}
    status, problem = await producer.call("POST", f"{path}/covers", json=other, headers=key)
    assert (status, problem["type"]) == (422, "urn:plate-detect:idempotency-key-reused")
    second = await completed(producer)
    status, _ = await producer.call("POST", f"{second}/covers", json=other, headers=key)
    assert status == 202, "a key belongs to one result"


@pytest.mark.usefixtures("impatient")
async def test_clients_at_once_add_all_their_covers(producer: RunningProducer) -> None:
    path = await completed(producer)
    answers = await asyncio.gather(
        *(producer.call("POST", f"{path}/covers", json=BODY) for _ in range(8))
    )
    assert len({state["correction_id"] for _, state in answers}) == 8
    assert await corrections_of(producer).waiting() == 8


async def test_a_correction_that_a_worker_refuses_is_an_error(producer: RunningProducer) -> None:
    path = await completed(producer)
    made = asyncio.create_task(make_next(producer, None))
    status, problem = await producer.call("POST", f"{path}/covers", json=BODY)
    await made
    assert (status, problem["type"]) == (422, "urn:plate-detect:correction-not-made")
    assert "outside" in problem["detail"]


@pytest.mark.parametrize(
    ("body", "options", "status", "kind"),
    [
        ({"covers": []}, {}, 422, "invalid-covers"),
        ({}, {}, 422, "invalid-covers"),
        ([], {}, 422, "invalid-covers"),
        ({"covers": [SQUARE] * 51}, {}, 422, "invalid-covers"),
        ({"covers": [[[0, 0], [9, 9], [9, 0], [0, 9]]]}, {}, 422, "invalid-covers"),
        ({"covers": [SQUARE[:3]]}, {}, 422, "invalid-covers"),
        (BODY, {"headers": {"Idempotency-Key": "not\tvisible"}}, 400, "malformed-request"),
    ],
)
async def test_unusable_covers_are_refused(
    producer: RunningProducer, body: object, options: dict[str, Any], status: int, kind: str
) -> None:
    path = await completed(producer)
    got, problem = await producer.call("POST", f"{path}/covers", json=body, **options)
    assert (got, problem["type"]) == (status, f"urn:plate-detect:{kind}")
    assert await corrections_of(producer).waiting() == 0


@pytest.mark.parametrize(
    ("data", "content_type", "status"),
    [(b"{", "application/json", 400), (b"[NaN]", "application/json", 400),
     (b"{}", "text/plain", 415), (b" " * (1 << 21), "application/json", 413)],
)  # fmt: skip
async def test_other_bodies_are_refused(
    producer: RunningProducer, data: bytes, content_type: str, status: int
) -> None:
    path = await completed(producer)
    headers = {"Content-Type": content_type}
    got, _ = await producer.call("POST", f"{path}/covers", data=io.BytesIO(data), headers=headers)
    assert got == status


async def test_what_cannot_be_reviewed(producer: RunningProducer) -> None:
    _, body = await producer.upload(("a.jpg", JPEG))
    path = f"/api/v1/tasks/{body['task_id']}/results"
    entry, message = (await producer.messages())[0]
    await producer.store.begin(entry, message)
    for call, options in (("covers", {"json": BODY}), ("accept", {})):
        for result, status in (
            (f"/api/v1/tasks/unknown/results/{NAME}", 404),
            (f"/api/v1/tasks/!/results/{NAME}", 404),
            (f"{path}/other.webp", 404),
            (f"{path}/%FF.webp", 404),
        ):
            got, _ = await producer.call("POST", f"{result}/{call}", **options)
            assert got == status, result
    result = ImageResult(filename=NAME, url="/x")
    await producer.store.finish(entry, message, result, {})
    await producer.call("DELETE", f"/api/v1/tasks/{body['task_id']}")
    for call, options in (("covers", {"json": BODY}), ("accept", {})):
        got, problem = await producer.call("POST", f"{path}/{NAME}/{call}", **options)
        assert (got, problem["type"]) == (404, "urn:plate-detect:unknown-result")


async def test_a_result_of_an_open_task_is_refused(producer: RunningProducer) -> None:
    _, body = await producer.upload(("a.jpg", JPEG), ("b.jpg", JPEG))
    message = await producer.finish_next()
    path = f"/api/v1/tasks/{body['task_id']}/results/{message.output_name}"
    for call, options in (("covers", {"json": BODY}), ("accept", {})):
        status, problem = await producer.call("POST", f"{path}/{call}", **options)
        assert (status, problem["type"]) == (409, "urn:plate-detect:task-not-ended")


@pytest.mark.usefixtures("impatient")
async def test_a_correction_during_the_deletion_or_at_the_end_of_life(
    producer: RunningProducer,
) -> None:
    for end in ("delete", "expire"):
        path = await completed(producer)
        task = producer.keys.task(task_of(path))
        if end == "expire":
            await producer.redis.pexpire(task, 1)
        calls = [producer.call("POST", f"{path}/covers", json=BODY) for _ in range(4)]
        if end == "delete":
            calls.insert(2, producer.session.delete(f"{producer.url}{path.split('/results')[0]}"))
        await asyncio.gather(*calls)
        status, _ = await producer.call("POST", f"{path}/covers", json=BODY)
        if end == "delete":
            assert status == 404
        assert await producer.redis.pttl(task) != -1, "nothing is kept for ever"


async def test_a_deletion_ends_the_wait(producer: RunningProducer) -> None:
    path = await completed(producer)
    waiting = asyncio.create_task(producer.call("POST", f"{path}/covers", json=BODY))
    await eventually(lambda: _is_waiting(corrections_of(producer)))
    await producer.store.delete(task_of(path))
    status, _ = await waiting
    assert status == 404


@pytest.mark.usefixtures("impatient")
async def test_a_full_backlog_or_server_refuses(
    start_producer: StartProducer, redis_server: str
) -> None:
    producer = await start_producer(redis_server, max_backlog_images=1)
    path = await completed(producer)
    assert (await producer.call("POST", f"{path}/covers", json=BODY))[0] == 202
    status, problem = await producer.call("POST", f"{path}/covers", json=BODY)
    assert (status, problem["type"]) == (503, "urn:plate-detect:backlog-full")
    await producer.redis.config_set("maxmemory", "1")
    try:
        status, problem = await producer.call("POST", f"{path}/covers", json=BODY)
    finally:
        await producer.redis.config_set("maxmemory", "0")
    assert (status, problem["type"]) == (503, "urn:plate-detect:redis-full")


async def test_the_new_version_is_served_with_another_tag(producer: RunningProducer) -> None:
    path = await completed(producer)
    url = f"{producer.url}/tasks_storage/{task_of(path)}/output/{NAME}"
    async with producer.session.get(url) as first:
        assert await first.read() == b"first"
    made = asyncio.create_task(make_next(producer))
    await producer.call("POST", f"{path}/covers", json=BODY)
    await made
    for headers in (
        {}, {"If-None-Match": first.headers["ETag"]},
        {"If-Modified-Since": first.headers["Last-Modified"]},
    ):  # fmt: skip
        async with producer.session.get(url, headers=headers) as second:
            assert (second.status, await second.read()) == (200, b"second")
    assert second.headers["ETag"] != first.headers["ETag"]
    same = {"If-None-Match": second.headers["ETag"]}
    async with producer.session.get(url, headers=same) as third:
        assert third.status == 304
    async with producer.session.head(url) as head:
        assert head.headers["Content-Length"] == "6"
    async with producer.session.get(url.replace(NAME, "0.v1-ab")) as by_file:
        assert by_file.status == 404


async def test_a_version_that_is_replaced_while_it_is_opened_is_not_missed(
    producer: RunningProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await completed(producer)
    url = f"{producer.url}/tasks_storage/{task_of(path)}/output/{NAME}"
    locate, is_replaced = type(producer.store).locate_result, False

    async def replace_after(self: Any, task_id: str, name: str) -> Any:
        nonlocal is_replaced
        located = await locate(self, task_id, name)
        if not is_replaced:
            is_replaced = True
            adding = asyncio.create_task(producer.call("POST", f"{path}/covers", json=BODY))
            await make_next(producer)
            await adding
        return located

    monkeypatch.setattr(type(producer.store), "locate_result", replace_after)
    async with producer.session.get(url) as response:
        assert (response.status, await response.read()) == (200, b"second")


async def test_the_key_is_recorded_as_a_short_digest(
    start_producer: StartProducer, redis_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producer.routes.reviews.WAIT_SECONDS", 0.0)
    key = "a-key-of-some-length"
    producer = await start_producer(redis_server, api_keys=key)
    producer.session.headers["X-API-Key"] = key
    path = await completed(producer, needs_review=True)
    digest = hashlib.sha256(key.encode()).hexdigest()[:12].encode()
    await producer.call("POST", f"{path}/covers", json=BODY)
    await producer.call("POST", f"{path}/accept")
    fields = await producer.redis.hgetall(producer.keys.task(task_of(path)))
    records = [value for name, value in fields.items() if name.startswith((b"correction:", b"acc"))]
    assert len(records) == 2
    assert all(b'"by":"%s"' % digest in record for record in records)
    assert not [value for value in fields.values() if key.encode() in value]
    producer.session.headers["X-API-Key"] = "another-key-of-length"
    for method, call in (
        ("POST", f"{path}/covers"),
        ("POST", f"{path}/accept"),
        ("GET", "/api/v1/reviews"),
    ):
        assert (await producer.call(method, call))[0] == 401
