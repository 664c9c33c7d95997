"""A worker whose detector hangs, or fails every image, ends itself; others take its images."""

import asyncio
import sys
from pathlib import Path

import pytest
import requests
from prometheus_client import CollectorRegistry
from redis import Redis

from consumer import __main__ as entry_point
from consumer.errors import BrokenDetectorError
from consumer.health import EXIT_STATUS, Health
from consumer.metrics import WorkerMetrics
from consumer.vision.detect.obb import Detections
from consumer.vision.networks import Networks
from consumer.vision.views.view import Pixels
from consumer.worker.process import run_worker
from tests.integration.worker.conftest import KEYS, Bench
from tests.support.pictures import scene_file
from tests.support.service import Service, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(90)]


def test_hung_forward_pass(redis_server: str, tmp_path: Path) -> None:
    hung = Service(
        redis_server, tmp_path, MODEL_PATH="stand-in:600000", INFERENCE_TIMEOUT_SECONDS="4"
    )
    sound = Service(redis_server, tmp_path, MODEL_PATH="stand-in:1")
    with Redis.from_url(redis_server) as redis:
        redis.xadd("{plates}:images", {"v": 1, "task_id": "t1", "image": scene_file()})
        try:
            hung.start("worker")
            wait_until(
                lambda: any(r.startswith("a forward pass has hung for") for r in reasons(hung)), 30,
                lambda: f"the problem\n{hung.logs}",
            )  # fmt: skip
            assert hung.roles["worker"].wait() == EXIT_STATUS
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
    assert "tests/support/stand_in.py" in hung.logs, "where it hung is in the log"


def reasons(service: Service) -> list[str]:
    """Return the problems that `/health` reports."""
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


class SickDetector:
    """Loads well, then fails everything, as a GPU does after an illegal memory access."""

    name = digest = "broken"
    imgsz, stride = 640, 32

    def detect(self, batch: Pixels) -> list[Detections]:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


async def test_broken_detector_spends_no_second_delivery(bench: Bench) -> None:
    settings = bench.settings.model_copy(update={"max_images_in_hand": 6, "lease_seconds": 20})
    metrics = WorkerMetrics(CollectorRegistry())
    for index in range(6):
        await bench.publish(task_id="t1", index=index, total=6, image=scene_file(index))
    with pytest.raises(ExceptionGroup) as raised:
        async with asyncio.timeout(20):
            await run_worker(settings, metrics, Health(), asyncio.Event(), Networks(SickDetector()))
    assert raised.group_contains(BrokenDetectorError)
    rows = await bench.redis.xpending_range(KEYS.images, "workers", "-", "+", 10)
    assert [row["times_delivered"] for row in rows] == [1] * 6
    assert await bench.redis.xlen(KEYS.dead_letters) == 0


async def test_broken_detector_ends_the_process_with_a_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def ends(settings: object) -> None:
        raise ExceptionGroup("", [ExceptionGroup("", [BrokenDetectorError("it fails everything")])])

    monkeypatch.setattr(sys, "argv", ["consumer", "worker"])
    assert await asyncio.to_thread(entry_point.main, ends) == EXIT_STATUS
