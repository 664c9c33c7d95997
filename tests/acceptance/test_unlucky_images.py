"""Images that only waited when their worker was killed are not dead-lettered."""

import os
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.support.pictures import scene_file
from tests.support.redis_server import RedisServer
from tests.support.service import running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(180)]

MAX_DELIVERIES = 2


def test_an_image_that_waits_for_storage_is_not_poison(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    with running(
        own_redis.url, tmp_path, "producer", "dispatcher", MODEL_PATH="stand-in:20",
        MAX_DELIVERIES=str(MAX_DELIVERIES), LEASE_SECONDS="1",
    ) as service, Redis.from_url(own_redis.url) as redis:  # fmt: skip

        def deliveries() -> list[int]:
            rows: Any = redis.xpending_range("{plates}:images", "workers", "-", "+", 10)
            return [row["times_delivered"] for row in rows]

        redis.xgroup_create("{plates}:images", "workers", "0", mkstream=True)
        task_id = service.submit(("a.jpg", scene_file()))
        (original,) = (service.storage / task_id / "input").iterdir()
        moved = original.rename(tmp_path / "unavailable")
        os.mkfifo(original)  # like an unavailable network share: opening it waits
        service.start_unready("worker")
        for kills in range(1, MAX_DELIVERIES + 3):
            wait_until(lambda: deliveries() == [kills], 30, lambda: service.logs)  # noqa: B023
            service.roles["worker"].restart()
        assert service.status(task_id)["status"] != "failed"
        moved.replace(original)
        ended = service.wait_final(task_id, timeout=100)
        assert ended["errors"] == []
        assert redis.xlen("{plates}:dead-letters") == 0
