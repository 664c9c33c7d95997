"""Commands of an administrator on the server of the running service: every task ends once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.support.pictures import scene_file
from tests.support.receiver import Receiver, receiving
from tests.support.service import Service, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(150)]

IMAGES, EVENTS = "{plates}:images", "{plates}:events"


@pytest.fixture
def redis(redis_server: str) -> Iterator[Redis]:
    with Redis.from_url(redis_server) as client:
        yield client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def service(redis_server: str, tmp_path: Path, receiver: Receiver) -> Iterator[Service]:
    """A producer alone: its tasks wait until the test starts the other roles."""
    found = Service(
        redis_server, tmp_path, MODEL_PATH="stand-in:20", LEASE_SECONDS="2",
        SWEEP_INTERVAL_SECONDS="1", TASK_TIMEOUT_SECONDS="20",
        BACKEND_CALLBACK_URL=f"{receiver.url}/callback",
    )  # fmt: skip
    try:
        found.start("producer")
        yield found
    finally:
        found.stop()


def strand_by_consumer(redis: Redis) -> None:
    redis.xgroup_delconsumer(IMAGES, "workers", "ghost")


def strand_by_ack(redis: Redis) -> None:
    redis.xack(IMAGES, "workers", *[entry for entry, _ in redis.xrange(IMAGES)])  # type: ignore[union-attr]


def skip_all(redis: Redis) -> None:
    redis.xgroup_setid(IMAGES, "workers", "$")


def skip_the_future(redis: Redis) -> None:
    redis.xgroup_setid(IMAGES, "workers", "99999999999999-0")


def forget_everything(redis: Redis) -> None:
    redis.delete(IMAGES, "{plates}:open-tasks")


@pytest.mark.parametrize(
    "command",
    [strand_by_consumer, strand_by_ack, skip_all, skip_the_future, forget_everything],
)
def test_every_task_ends_with_one_event(
    service: Service, redis: Redis, receiver: Receiver, command: Callable[[Redis], None]
) -> None:
    tasks = [service.submit(*pictures(count)) for count in (6, 3)]
    redis.xgroup_create(IMAGES, "workers", "0")
    redis.xreadgroup("workers", "ghost", {IMAGES: ">"}, count=2)
    lost: Any = redis.xrevrange(IMAGES, count=1)
    redis.xdel(IMAGES, lost[0][0])
    command(redis)
    service.start("worker", "dispatcher")
    tasks.append(service.submit(*pictures(2)))
    for task_id, count in zip(tasks, (6, 3, 2), strict=True):
        state = service.wait_final(task_id, timeout=40)
        assert (state["status"], state["errors"]) == ("completed", [])
        assert state["progress"] == {"done": count, "total": count}
    wait_until(lambda: len(receiver.callbacks) >= 3, 20, lambda: service.logs)
    told: Any = redis.xrange(EVENTS)
    assert sorted(fields[b"task_id"].decode() for _, fields in told) == sorted(tasks)
    assert sorted(body["task_id"] for _, body in receiver.callbacks) == sorted(tasks)
    wait_until(lambda: redis.xlen(IMAGES) == 0, 20, lambda: service.logs)
    assert redis.xlen("{plates}:dead-letters") == 0


def pictures(count: int) -> list[tuple[str, bytes]]:
    return [(f"{number}.jpg", scene_file(number, width=96)) for number in range(count)]
