"""A server that is unavailable for longer than the lease: workers keep their images."""

import time
from pathlib import Path

import pytest
import requests
from redis import Redis
from redis.exceptions import ResponseError

from tests.support.pictures import scene_file
from tests.support.redis_server import RedisServer
from tests.support.service import running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(120)]

LEASE_SECONDS = 6.0
ABSENCE_SECONDS = 7.7


def test_images_of_running_workers_are_not_redelivered(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    workers = ("worker-1", "worker-2", "worker-3")
    with (
        running(
            own_redis.url, tmp_path, *workers,
            MODEL_PATH="stand-in:14000", LEASE_SECONDS=str(LEASE_SECONDS),
        ) as service,
        Redis.from_url(own_redis.url) as redis,
    ):  # fmt: skip
        redis.xadd("{plates}:images", {"v": 1, "task_id": "t1", "image": scene_file()})
        wait_until(lambda: deliveries(redis) == [1], 30, lambda: service.logs)
        own_redis.kill()
        time.sleep(ABSENCE_SECONDS)
        own_redis.start()
        seen = set()

        def ended() -> bool:
            seen.update(deliveries(redis))
            return redis.hget("{plates}:task:t1", "status") == b"completed"

        wait_until(ended, 60, lambda: service.logs)
        assert seen == {1}, "the image was redelivered although its worker was running"
        taken = [metric(service.metrics_url(name)) for name in workers]
    assert taken == [0, 0, 0]


def deliveries(redis: Redis) -> list[int]:
    """Return the delivery counts of entries in flight."""
    try:
        rows = redis.xpending_range("{plates}:images", "workers", "-", "+", 10)
    except ResponseError:
        return []  # no worker has made the group yet
    return [row["times_delivered"] for row in rows]


def metric(url: str) -> float:
    """Return how many images a worker has taken over."""
    [line] = [
        line
        for line in requests.get(url, timeout=5).text.splitlines()
        if line.startswith("plate_redeliveries_total ")
    ]
    return float(line.split()[1])
