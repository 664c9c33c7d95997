"""A rolling restart: all processes get SIGTERM during work, and no task is lost or repeated."""

import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests
from redis import Redis

from tests.support.pictures import scene_file
from tests.support.receiver import receiving
from tests.support.redis_server import RedisServer
from tests.support.service import Service, running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(180)]

ROLES = ("producer", "worker", "dispatcher")
CLIENTS, IMAGES, DRAIN_SECONDS = 4, 3, 20
MAX_BACKLOG = 60


class UploadingClient(threading.Thread):
    """Sends tasks until the producer has stopped; only `202` accepts a task.

    Until `stopping` is set a refusal means that the backlog is full, and it goes on sending.
    """

    def __init__(
        self, service: Service, files: list[tuple[str, bytes]], stopping: threading.Event
    ) -> None:
        super().__init__()
        self._service, self._files, self._stopping = service, files, stopping
        self.promised: list[str] = []
        self.refusals: list[object] = []

    def run(self) -> None:
        while not self.refusals:
            try:
                answer = requests.post(
                    f"{self._service.url}/api/v1/process-task/",
                    files=[("files", file) for file in self._files], timeout=30,
                )  # fmt: skip
            except requests.ConnectionError as error:
                self.refusals.append(error)
            else:
                if answer.status_code == 202:
                    self.promised.append(answer.json()["task_id"])
                elif answer.status_code != 503 or self._stopping.wait(0.05):
                    self.refusals.append(answer.status_code)


def test_sigterm_of_all_roles_repeats_and_loses_nothing(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    files = [(f"{seed}.jpg", scene_file(seed, width=640)) for seed in range(IMAGES)]
    with receiving() as receiver, running(
        own_redis.url, tmp_path, *ROLES, DRAIN_SECONDS=str(DRAIN_SECONDS),
        MODEL_PATH="stand-in:100",
        BACKEND_UPLOAD_URL=f"{receiver.url}/upload",
        BACKEND_CALLBACK_URL=f"{receiver.url}/callback", SWEEP_INTERVAL_SECONDS="0.5",
        MAX_BACKLOG_IMAGES=str(MAX_BACKLOG),
    ) as service, Redis.from_url(own_redis.url) as redis:  # fmt: skip
        stopping = threading.Event()
        clients = [UploadingClient(service, files, stopping) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        wait_until(lambda: len(receiver.callbacks) >= 3, 60, lambda: service.logs)
        stopping.set()
        for name in ROLES:
            service.roles[name].process.send(signal.SIGTERM)
        # A process that takes longer than DRAIN_SECONDS ends with another status.
        assert [service.roles[name].wait() for name in ROLES] == [0, 0, 0], service.logs
        for client in clients:
            client.join(timeout=40)
            assert not client.is_alive()
            assert all(isinstance(answer, OSError) or answer == 503 for answer in client.refusals)
        promised = {task_id for client in clients for task_id in client.promised}
        for stream, group in (("images", "workers"), ("events", "dispatcher")):
            pending: Any = redis.xpending(f"{{plates}}:{stream}", group)
            assert pending["pending"] == 0, f"{stream} are left in flight"

        service.start(*ROLES)
        for task_id in promised:
            state: Any = service.wait_final(task_id)
            assert (state["status"], len(state["results"])) == ("completed", IMAGES)
        # A task may have been accepted although its client got no response.
        wait_until(
            lambda: promised <= {body["task_id"] for _, body in receiver.callbacks},
            60, lambda: service.logs,
        )  # fmt: skip
        wait_until(lambda: redis.zcard("{plates}:open-tasks") == 0, 30, "all tasks to end")
        events: Any = redis.xrange("{plates}:events")
        told = Counter(fields[b"task_id"].decode() for _, fields in events)
        assert set(told.values()) == {1}
        assert promised <= set(told)
        sent = Counter(body["task_id"] for _, body in receiver.callbacks)
        assert set(sent.values()) == {1}, "a callback was sent twice"
        metrics = requests.get(service.metrics_url("worker"), timeout=10).text
        assert "plate_redeliveries_total 0.0" in metrics


def test_tasks_survive_without_a_dispatcher_for_longer_than_their_ttl(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    ttl_hours = 0.002
    with receiving() as receiver, running(
        own_redis.url, tmp_path, "producer", TASK_STORAGE_TTL_HOURS=str(ttl_hours),
        BACKEND_CALLBACK_URL=f"{receiver.url}/callback", SWEEP_INTERVAL_SECONDS="0.5",
        MODEL_PATH="stand-in:20", UPLOAD_GRACE_SECONDS="2",
    ) as service, Redis.from_url(own_redis.url) as redis:  # fmt: skip
        task_id = service.submit(("a.jpg", scene_file(0)), ("b.jpg", scene_file(1)))
        wait_until(
            lambda: not redis.exists(f"{{plates}}:task:{task_id}"), ttl_hours * 3600 + 10,
            "the task's hash to expire",
        )  # fmt: skip
        service.start("worker", "dispatcher")
        wait_until(lambda: receiver.callbacks, 30, lambda: service.logs)
        [(_, body)] = receiver.callbacks
        assert (body["task_id"], body["status"]) == (task_id, "completed")
        assert [result["filename"] for result in body["results"]] == [
            "covered_a.webp", "covered_b.webp",
        ]  # fmt: skip
        events: Any = redis.xrange("{plates}:events")
        assert len(events) == 1
