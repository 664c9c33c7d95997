"""PUBLIC_URL: status, event and callback name the same address of a result."""

from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.support.pictures import scene_file
from tests.support.receiver import receiving
from tests.support.redis_server import RedisServer
from tests.support.service import running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]

PUBLIC = "https://example.org/plates"


def test_status_event_and_callback_name_the_same_address(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    with receiving() as receiver, running(
        own_redis.url, tmp_path, "producer", "worker", "dispatcher", MODEL_PATH="stand-in:10",
        PUBLIC_URL=f"{PUBLIC}/", BACKEND_CALLBACK_URL=f"{receiver.url}/callback",
    ) as service:  # fmt: skip
        task_id = service.submit(("a b.jpg", scene_file(0)))
        status: dict[str, Any] = service.wait_final(task_id)
        wait_until(lambda: receiver.callbacks, 30, lambda: f"the callback\n{service.logs}")
        assert receiver.callbacks[0][1] == status
        path = f"/tasks_storage/{task_id}/output/covered_a%20b.webp"
        assert [result["url"] for result in status["results"]] == [PUBLIC + path]
        assert service.result(path)[:4] == b"RIFF"
        with Redis.from_url(own_redis.url) as redis:
            [(_, event)] = redis.xrange("{plates}:events")
        assert f'"url":"{PUBLIC}{path}"'.encode() in event[b"payload"]
