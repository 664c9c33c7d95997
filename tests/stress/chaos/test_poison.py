"""Images that end the worker's process become dead letters; no other image fails with them."""

from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.stress.chaos.submissions import picture, sha256
from tests.support.service import Service, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(120)]

POISONED = (1, 4, 5)
IMAGES = 12


@pytest.mark.parametrize("max_deliveries", [2, 3])
def test_only_poison_images_become_dead_letters(
    redis_server: str, tmp_path: Path, max_deliveries: int
) -> None:
    """Of two deliveries the first is shared, of three the first two; the last runs alone.

    So healthy images are in flight beside the poison once or twice when it ends the process.
    """
    images = [picture(number) for number in range(IMAGES)]
    poison = ",".join(sha256(images[index]) for index in POISONED)
    service = Service(
        redis_server, tmp_path, MODEL_PATH="stand-in:200", PLATE_DETECT_TEST_POISON=poison,
        MAX_DELIVERIES=str(max_deliveries), MAX_IMAGES_IN_HAND=str(IMAGES), LEASE_SECONDS="1",
        PROCESSING_THREADS="1",
    )  # fmt: skip
    with Redis.from_url(redis_server) as redis:
        for index, image in enumerate(images):
            redis.xadd(
                "{plates}:images",
                {"v": 1, "task_id": "t1", "index": index, "total": IMAGES, "image": image},
            )
        try:
            deaths = _restarted_until_done(service, redis)
        finally:
            service.stop()
        letters: Any = redis.xrange("{plates}:dead-letters")
        row: Any = redis.hgetall("{plates}:task:t1")
    failed = {int(name.split(b":")[1]) for name in row if name.startswith(b"error:")}
    assert failed == set(POISONED)
    assert row[b"status"] == b"completed"
    assert row[b"succeeded"] == b"%d" % (IMAGES - len(POISONED))
    reasons = [(fields[b"reason"], fields[b"deliveries"]) for _, fields in letters]
    assert reasons == [(b"too_many_deliveries", b"%d" % max_deliveries)] * len(POISONED)
    assert not any(b"image" in fields for _, fields in letters), "no pixels in a dead letter"
    # A shared end counts against no image; afterwards each poison image runs alone.
    assert deaths == max_deliveries - 1 + len(POISONED)


def _restarted_until_done(service: Service, redis: Redis) -> int:
    """Keep one worker running, as `plate-detect run` would; return how often it died."""
    service.start("worker")
    worker, deaths = service.roles["worker"], 0

    def done() -> bool:
        nonlocal deaths
        if not worker.is_running:
            deaths += 1
            worker.start()
        return redis.hget("{plates}:task:t1", "status") == b"completed"

    wait_until(done, 90, lambda: worker.log)
    return deaths
