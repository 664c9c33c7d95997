"""Faults of a running server: full, flushed, its group or its stream deleted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from redis import Redis
from redis.exceptions import OutOfMemoryError

from tests.support.cpu import cpu_shares
from tests.support.pictures import scene_file
from tests.support.receiver import Receiver, receiving
from tests.support.redis_server import RedisServer
from tests.support.service import Service, running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(120)]

ROLES = ("producer", "worker", "dispatcher")
IMAGES = "{plates}:images"
EVENTS = "{plates}:events"
GROUPS = {IMAGES: "workers", EVENTS: "dispatcher"}
WATCHED_SECONDS = 3.0


@pytest.fixture
def redis(own_redis: RedisServer) -> Iterator[Redis]:
    with Redis.from_url(own_redis.url) as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def service(own_redis: RedisServer, receiver: Receiver, tmp_path: Path) -> Iterator[Service]:
    with running(
        own_redis.url, tmp_path, *ROLES, MODEL_PATH="stand-in:200", SWEEP_INTERVAL_SECONDS="0.4",
        UPLOAD_GRACE_SECONDS="2", PROCESSING_BATCH_SIZE="1", MAX_IMAGES_IN_HAND="3",
        BACKEND_CALLBACK_URL=f"{receiver.url}/callback",
    ) as service:  # fmt: skip
        yield service
        assert all(role.is_running for role in service.roles.values())


def test_a_full_server_refuses_new_work_and_finishes_the_rest(
    service: Service, redis: Redis, receiver: Receiver
) -> None:
    task_id = service.submit(*pictures(8))
    in_work(service, task_id)
    redis.config_set("maxmemory", 1)
    answer = post(service)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert {path.name for path in service.storage.iterdir()} <= {task_id, ".ready"}
    with pytest.raises(OutOfMemoryError):
        redis.xadd(IMAGES, {"v": 1, "task_id": "direct"})
    # A new worker must do so, too: only finished work frees memory.
    service.roles["worker"].restart()
    assert results_of(service.wait_final(task_id)) == {f"covered_{n}.webp" for n in range(8)}
    wait_until(lambda: len(receiver.callbacks) == 1, 20, lambda: service.logs)
    redis.config_set("maxmemory", 0)
    later = service.submit(*pictures(1))
    assert service.wait_final(later)["status"] == "completed"
    settled(redis, receiver, [task_id, later])


def test_everything_flushed(service: Service, redis: Redis, receiver: Receiver) -> None:
    tasks = [service.submit(*pictures(4)) for _ in range(2)]
    in_work(service, tasks[0])
    redis.flushall()
    lines = service.logs.count("\n")
    pids = {name: role.pid for name, role in service.roles.items()}
    for name, share in cpu_shares(pids, WATCHED_SECONDS).items():
        # A worker still finishes the images in flight.
        assert share < (0.2 if name != "worker" else 0.9)
    assert service.logs.count("\n") - lines < 60
    for task_id in tasks:
        url = f"{service.url}/api/v1/task-status/{task_id}"
        assert requests.get(url, timeout=30).status_code == 404
    wait_until(lambda: not files(service), 20, lambda: f"{files(service)}\n{service.logs}")
    later = service.submit(*pictures(3))
    assert len(results_of(service.wait_final(later))) == 3
    settled(redis, receiver, [later])
    assert redis.keys("{plates}:task:*") == [f"{{plates}}:task:{later}".encode()]
    assert redis.zcard("{plates}:open-tasks") == 0


def test_groups_destroyed(service: Service, redis: Redis, receiver: Receiver) -> None:
    tasks = [service.submit(*pictures(4)) for _ in range(3)]
    in_work(service, tasks[0])
    for _ in range(2):
        wait_until(lambda: groups(redis) == GROUPS, 20, lambda: service.logs)
        for stream, group in GROUPS.items():
            redis.xgroup_destroy(stream, group)
    for task_id in tasks:
        assert len(results_of(service.wait_final(task_id))) == 4
    settled(redis, receiver, tasks)
    assert groups(redis) == GROUPS


def test_work_stream_deleted(service: Service, redis: Redis, receiver: Receiver) -> None:
    tasks = [service.submit(*pictures(6)) for _ in range(3)]
    service.start("worker-2")
    in_work(service, tasks[0])
    # Its entries in flight are lost with the stream; the other worker finishes its own.
    service.roles["worker"].kill()
    redis.delete(IMAGES)
    (service.storage / tasks[2] / "input" / "5").unlink()
    service.roles["worker"].start()
    for task_id in tasks[:2]:
        state = service.wait_final(task_id)
        assert results_of(state) == {f"covered_{n}.webp" for n in range(6)}
        assert state["errors"] == []
    state = service.wait_final(tasks[2])
    assert results_of(state) == {f"covered_{n}.webp" for n in range(5)}
    errors: Any = state["errors"]
    assert [(e["filename"], e["code"]) for e in errors] == [("5.jpg", "input_missing")]
    settled(redis, receiver, tasks)


def test_rights_taken_away_and_given_back(
    service: Service, redis: Redis, receiver: Receiver
) -> None:
    task_id = service.submit(*pictures(5))
    in_work(service, task_id)
    redis.acl_setuser("default", enabled=True, commands=["-evalsha"])
    worker = service.roles["worker"]
    wait_until(lambda: "NoPermissionError" in worker.log, 20, lambda: service.logs)
    assert post(service).status_code == 503
    assert {path.name for path in service.storage.iterdir()} <= {task_id, ".ready"}
    redis.acl_setuser("default", enabled=True, commands=["+evalsha"])
    assert len(results_of(service.wait_final(task_id))) == 5
    settled(redis, receiver, [task_id])


def settled(redis: Redis, receiver: Receiver, tasks: list[str]) -> None:
    """Check for one event and one webhook per task; no entry waits, no dead letters."""
    wait_until(lambda: redis.xlen(IMAGES) == 0, 20, "an empty stream")
    wait_until(lambda: len(receiver.callbacks) >= len(tasks), 20, "webhooks")
    told = [fields[b"task_id"].decode() for _, fields in redis.xrange(EVENTS)]
    assert sorted(told) == sorted(tasks)
    assert sorted(body["task_id"] for _, body in receiver.callbacks) == sorted(tasks)
    assert redis.xlen("{plates}:dead-letters") == 0


def groups(redis: Redis) -> dict[str, str]:
    """Return each stream with the names of its consumer groups."""
    streams: dict[str, Any] = {stream: redis.xinfo_groups(stream) for stream in GROUPS}
    return {
        stream: ",".join(row["name"].decode() for row in rows) for stream, rows in streams.items()
    }


def pictures(count: int) -> list[tuple[str, bytes]]:
    return [(f"{number}.jpg", scene_file(number)) for number in range(count)]


def in_work(service: Service, task_id: str) -> None:
    """Wait until some images of a task are done and some are not."""

    def begun() -> bool:
        progress: Any = service.status(task_id)["progress"]
        return 0 < progress["done"] < progress["total"]

    wait_until(begun, 30, lambda: service.logs)


def results_of(state: dict[str, object]) -> set[str]:
    results: Any = state["results"]
    names = [result["filename"] for result in results]
    assert len(set(names)) == len(names)
    return set(names)


def post(service: Service) -> requests.Response:
    return requests.post(
        f"{service.url}/api/v1/process-task/",
        files=[("files", ("new.jpg", scene_file(0)))], timeout=30,
    )  # fmt: skip


def files(service: Service) -> list[str]:
    found = (path for path in service.storage.rglob("*") if path.is_file())
    return [str(path) for path in found if path.name != ".ready"]
