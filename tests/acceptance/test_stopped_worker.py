"""A worker that is stopped for longer than its lease, and then continues."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import requests
from redis import Redis

from tests.support.pictures import scene_file
from tests.support.receiver import receiving
from tests.support.redis_server import RedisServer
from tests.support.service import running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(120)]

SUPERSEDED = 'plate_images_total{outcome="superseded"} 2.0'


def test_a_late_result_changes_nothing(own_redis: RedisServer, tmp_path: Path) -> None:
    with receiving() as receiver, running(
        own_redis.url, tmp_path, "producer", "worker", "dispatcher", MODEL_PATH="stand-in:800",
        BACKEND_CALLBACK_URL=f"{receiver.url}/callback", MAX_IMAGES_IN_HAND="2",
    ) as service, Redis.from_url(own_redis.url) as redis:  # fmt: skip
        task_id = service.submit(*((f"{seed}.jpg", scene_file(seed)) for seed in range(2)))

        def in_hand() -> int:
            pending: Any = redis.xpending("{plates}:images", "workers")
            return int(pending["pending"])

        def begun() -> bool:
            return service.status(task_id)["status"] == "processing" and in_hand() == 2

        wait_until(begun, 30, lambda: service.logs)
        late = service.roles["worker"].pid
        os.kill(late, signal.SIGSTOP)
        assert in_hand() == 2
        service.start("worker-2")
        ended = service.wait_final(task_id)
        assert len(ended["results"]) == 2  # type: ignore[arg-type]
        wait_until(lambda: receiver.callbacks, 20, lambda: service.logs)
        os.kill(late, signal.SIGCONT)

        def told() -> bool:
            return SUPERSEDED in requests.get(service.metrics_url("worker"), timeout=10).text

        wait_until(told, 20, lambda: service.logs)
        assert service.status(task_id) == ended
        assert redis.xlen("{plates}:events") == 1
        assert redis.xlen("{plates}:images") == 0
        assert redis.xlen("{plates}:dead-letters") == 0
        assert len(receiver.callbacks) == 1
        for result in ended["results"]:  # type: ignore[attr-defined]
            assert service.result(result["url"]).startswith(b"RIFF")
