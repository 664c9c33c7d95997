"""Workers are stopped one after the other and come back with another model, during work."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from schemas.contract.tasks import MODEL_DIGITS
from tests.support.pictures import scene_file
from tests.support.receiver import receiving
from tests.support.redis_server import RedisServer
from tests.support.service import running, wait_until
from tests.support.stand_in import StandInDetector

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(120)]

WORKERS = ("worker", "worker-2")
IMAGES, IMAGE_MS = 4, 250
STREAM, GROUP = "{plates}:images", "workers"
MODELS = [StandInDetector(version=version).digest[:MODEL_DIGITS] for version in (1, 2)]


def _path(version: int) -> str:
    return f"stand-in:{IMAGE_MS}:v{version}"


@contextmanager
def _redeliveries(redis: Redis) -> Iterator[set[bytes]]:
    """Collect the entries in flight that were delivered more than once."""
    found: set[bytes] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            rows: Any = redis.xpending_range(STREAM, GROUP, "-", "+", 100)
            found.update(row["message_id"] for row in rows if row["times_delivered"] > 1)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def test_two_models_work_on_one_stream_and_each_result_names_its_own(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    files = [(f"{seed}.jpg", scene_file(seed, width=640)) for seed in range(IMAGES)]
    with receiving() as receiver, running(
        own_redis.url, tmp_path, "producer", "dispatcher", *WORKERS, MODEL_PATH=_path(1),
        PROCESSING_THREADS="1", LEASE_SECONDS="5", BACKEND_CALLBACK_URL=f"{receiver.url}/callback",
    ) as service, Redis.from_url(own_redis.url) as redis:  # fmt: skip

        def consumers() -> int:
            found: Any = redis.xinfo_groups(STREAM) if redis.exists(STREAM) else []
            return sum(group["consumers"] for group in found)

        def in_flight() -> set[str]:
            rows: Any = redis.xpending_range(STREAM, GROUP, "-", "+", 100)
            return {row["consumer"].decode() for row in rows}

        tasks: list[str] = []

        def is_busy(pid: str) -> bool:
            if redis.xlen(STREAM) < 2 * IMAGES:  # the other worker is nearly done with them
                tasks.append(service.submit(*files))
            return any(pid in one for one in in_flight())

        wait_until(lambda: consumers() == len(WORKERS), 60, lambda: service.logs)
        with _redeliveries(redis) as redelivered:
            for name in WORKERS:
                role = service.roles[name]
                pid = f"-{role.pid}-"
                wait_until(lambda pid=pid: is_busy(pid), 30, "work")
                role.environment["MODEL_PATH"] = _path(2)
                assert role.terminate() == 0, role.log
                assert not any(pid in one for one in in_flight()), "it left images behind"
                role.start()
                wait_until(lambda role=role: is_busy(f"-{role.pid}-"), 60, role.log)
            states: list[Any] = [service.wait_final(task) for task in tasks]
        assert not redelivered
        for state in states:
            assert (state["status"], len(state["results"])) == ("completed", IMAGES)
            for result in state["results"]:
                outcome: Any = redis.hget(
                    f"{{plates}}:task:{state['task_id']}", f"outcome:{result['index']}"
                )
                assert json.loads(outcome)["model"][:MODEL_DIGITS] == result["model"]
        named = {result["model"] for state in states for result in state["results"]}
        assert named == set(MODELS)
        by_id = {state["task_id"]: state for state in states}
        wait_until(lambda: len(receiver.callbacks) == len(tasks), 30, lambda: service.logs)
        assert {body["task_id"]: body for _, body in receiver.callbacks} == by_id
        events: Any = redis.xrange("{plates}:events")
        sent = [json.loads(fields[b"payload"]) for _, fields in events]
        assert len(sent) == len(tasks)
        assert {body["task_id"]: body for body in sent} == by_id
        assert redis.xlen("{plates}:dead-letters") == 0
