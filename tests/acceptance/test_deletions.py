"""Tasks deleted at any moment, while workers and the dispatcher are killed."""

import random
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from redis import Redis

from tests.support.pictures import scene_file
from tests.support.receiver import Receiver, receiving
from tests.support.redis_server import RedisServer
from tests.support.service import Service, running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(150)]

CLIENTS, SECONDS, SEED = 4, 8.0, 4
IMAGES = [(f"{seed}.jpg", scene_file(seed, width=320)) for seed in range(3)]


def test_deleted_tasks_leave_nothing_while_processes_are_killed(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    with receiving() as receiver, running(
        own_redis.url, tmp_path, "producer", "worker", "worker-2", "dispatcher",
        MODEL_PATH="stand-in:40", SWEEP_INTERVAL_SECONDS="0.5", MAX_BACKLOG_IMAGES="100",
        BACKEND_CALLBACK_URL=f"{receiver.url}/callback", WEBHOOK_TIMEOUT_SECONDS="3",
        MAX_DELIVERIES="50",  # no image causes the kills
    ) as service, Redis.from_url(own_redis.url) as redis:  # fmt: skip
        end = time.monotonic() + SECONDS
        with ThreadPoolExecutor(CLIENTS) as clients:
            each = [clients.submit(customer, service, end, SEED + n) for n in range(CLIENTS)]
            rng = random.Random(SEED)
            while time.monotonic() < end:
                time.sleep(rng.uniform(0.5, 2))
                service.roles[rng.choice(["worker", "worker-2", "dispatcher"])].restart()
        fates = {task_id: gone for one in each for task_id, gone in one.result().items()}
        print(Counter(fates.values()))
        assert len(set(fates.values())) == 2
        wait_until(
            lambda: not redis.zcard("{plates}:open-tasks") and not redis.xlen("{plates}:images"),
            40, lambda: service.logs,
        )  # fmt: skip
        check(service, redis, receiver, fates)


def customer(service: Service, end: float, seed: int) -> dict[str, bool]:
    """Send tasks and delete some; return for each task whether it was deleted."""
    rng, fates = random.Random(seed), dict[str, bool]()
    while time.monotonic() < end:
        images = [("files", image) for image in IMAGES[: rng.randint(1, 3)]]
        answer = requests.post(f"{service.url}/api/v1/process-task/", files=images, timeout=30)
        assert answer.status_code in (202, 503), answer.text
        if answer.status_code == 202:
            fates[answer.json()["task_id"]] = False
        for task_id in rng.sample(list(fates), min(len(fates), rng.randint(0, 1))):
            answer = requests.delete(f"{service.url}/api/v1/tasks/{task_id}", timeout=30)
            assert answer.status_code == 204, answer.text
            fates[task_id] = True
    return fates


def check(service: Service, redis: Redis, receiver: Receiver, fates: dict[str, bool]) -> None:
    """Check events, webhooks and files: only results of tasks that were not deleted remain."""
    rows: Any = redis.xrange("{plates}:events")
    events = [(row[b"task_id"].decode(), row[b"type"].decode()) for _, row in rows]
    assert sorted(task_id for task_id, _ in events) == sorted(fates)
    # A task that was deleted after its end, before its webhook was sent, is not reported.
    expected = {
        task_id for task_id, kind in events if not fates[task_id] or kind == "task.failed"
    }  # fmt: skip

    def missing() -> set[str]:
        return expected - {body["task_id"] for _, body in receiver.callbacks}

    wait_until(lambda: not missing(), 30, lambda: f"{missing()}\n{service.logs}")
    ids = defaultdict(set)
    for webhook_id, body in receiver.callbacks:
        ids[body["task_id"]].add(webhook_id)
    assert {len(found) for found in ids.values()} == {1}
    wanted = set()
    for task_id, deleted in fates.items():
        state: Any = service.status(task_id)
        if deleted:
            assert state["results"] == []
        else:
            assert state["status"] == "completed"
            assert state["errors"] == []
            wanted |= {
                f"{task_id}/output/{result['filename']}" for result in state["results"]
            }  # fmt: skip

    def stored() -> set[str]:
        files = (path for path in service.storage.rglob("*") if path.is_file())
        return {str(path.relative_to(service.storage)) for path in files} - {".ready"}

    wait_until(lambda: stored() == wanted, 20, lambda: f"not {stored() ^ wanted}")
    assert redis.xlen("{plates}:dead-letters") == 0
