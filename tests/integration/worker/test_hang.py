"""A worker whose forward pass never comes back ends itself, and another takes its image."""

import subprocess
from pathlib import Path

import pytest
import requests
from redis import Redis

from consumer.watchdog import EXIT_STATUS
from tests.support.pictures import scene_file
from tests.support.service import Service, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]


def test_hung_forward_pass(redis_server: str, tmp_path: Path) -> None:
    hung = Service(
        redis_server, tmp_path, MODEL_PATH="stand-in:600000", INFERENCE_TIMEOUT_SECONDS="4"
    )
    sound = Service(redis_server, tmp_path, MODEL_PATH="stand-in:1")
    with Redis.from_url(redis_server) as redis:
        redis.xadd("{plates}:images", {"v": 1, "task_id": "t1", "image": scene_file()})
        try:
            hung.start("worker")
            wait_until(lambda: reasons(hung), 30, lambda: f"a complaint\n{hung.logs}")
            [reason] = reasons(hung)
            assert reason.startswith("a forward pass has hung for")
            process = hung.roles["worker"].process
            assert isinstance(process, subprocess.Popen)
            assert process.wait(30) == EXIT_STATUS
            [pending] = redis.xpending_range("{plates}:images", "workers", "-", "+", 10)
            assert pending["times_delivered"] == 1

            sound.start("worker-2")
            wait_until(
                lambda: redis.hget("{plates}:task:t1", "status") == b"completed", 30,
                lambda: sound.logs,
            )  # fmt: skip
        finally:
            hung.stop()
            sound.stop()
    assert "watchdog ends the process" in hung.logs
    assert "consumer/vision/standin.py" in hung.logs, "where it hung is in the log"


def reasons(service: Service) -> list[str]:
    """What `/health` complains of; nothing as long as it says that all is well."""
    url = service.metrics_url("worker").replace("/metrics", "/health")
    try:
        answer = requests.get(url, timeout=5)
    except requests.ConnectionError:
        return []
    if answer.status_code == 200:
        assert answer.json() == {"status": "ok"}
        return []
    found: list[str] = answer.json()["reasons"]
    return found
