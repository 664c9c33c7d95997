"""A stop ends the process in time, even if its threads hang; a clean one ends with 0."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.support.pictures import scene_file
from tests.support.service import ROOT, role_arguments, running, wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(90)]

DRAIN_SECONDS = 1
GRACE_SECONDS = 15.0
"""More than a stop takes here, far less than what hangs."""

HANGS = {
    "worker": """
        import consumer.worker.process as process
        def hang(*_, **__):
            print("begun", flush=True)
            time.sleep(600)
        process.load_networks = hang
    """,
    "dispatcher": """
        from consumer.dispatcher.events import EventReader
        async def hang(reader):
            print("begun", flush=True)
            await asyncio.to_thread(time.sleep, 600)
        EventReader.reclaim = hang
    """,
}
"""A thread of each role that hangs, as on a mount that is unavailable."""

FAILS_IN_WORK = """
        from schemas.redis.task_store import TaskStore
        async def fail(*_):
            raise RuntimeError("a defect")
        TaskStore.renew = fail
"""


@contextmanager
def started(
    role: str, change: str, redis_url: str, folder: Path, **settings: str
) -> Iterator[subprocess.Popen[str]]:
    """Start a role as a process, with a defect."""
    _, module, *arguments = role_arguments(role, settings)
    lines = [line.removeprefix("        ") for line in change.splitlines()]
    code = "\n".join(
        (
            "import asyncio, runpy, sys, time", *lines, f"sys.argv[1:] = {arguments}",
            f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)",
        )
    )  # fmt: skip
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "REDIS_URL": redis_url, "METRICS_PORT": "0",
        "DRAIN_SECONDS": str(DRAIN_SECONDS), "TASKS_STORAGE_URL": folder.as_uri(), **settings,
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_pass_that_outlasts_the_drain_does_not_keep_the_process(
    redis_server: str, tmp_path: Path
) -> None:
    with running(
        redis_server, tmp_path, "worker", MODEL_PATH="stand-in:600000",
        INFERENCE_TIMEOUT_SECONDS="1000", DRAIN_SECONDS=str(DRAIN_SECONDS),
    ) as service, Redis.from_url(redis_server) as redis:  # fmt: skip
        redis.xadd("{plates}:images", {"v": 1, "task_id": "t1", "image": scene_file()})
        wait_until(
            lambda: redis.hget("{plates}:task:t1", "status") == b"processing", 30,
            lambda: service.logs,
        )  # fmt: skip
        asked = time.monotonic()
        assert service.roles["worker"].terminate() == 0
        assert time.monotonic() - asked < GRACE_SECONDS
        assert "threads left at work" in service.logs
        rows: Any = redis.xpending_range("{plates}:images", "workers", "-", "+", 10)
        assert [row["times_delivered"] for row in rows] == [1]


def test_a_clean_stop_leaves_no_thread(redis_server: str, tmp_path: Path) -> None:
    with running(
        redis_server, tmp_path, "worker", "dispatcher", MODEL_PATH="stand-in:1"
    ) as service, Redis.from_url(redis_server) as redis:  # fmt: skip
        redis.xadd("{plates}:images", {"v": 1, "task_id": "t1", "image": scene_file()})
        wait_until(
            lambda: redis.hget("{plates}:task:t1", "status") == b"completed", 30,
            lambda: service.logs,
        )  # fmt: skip
        assert [role.terminate() for role in service.roles.values()] == [0, 0]
        for text in ("left at work", "timed out", "cut off", "watchdog"):
            assert text not in service.logs


@pytest.mark.parametrize("role", HANGS)
def test_a_thread_that_hangs_does_not_keep_the_process(
    role: str, redis_server: str, tmp_path: Path
) -> None:
    with started(role, HANGS[role], redis_server, tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=GRACE_SECONDS)
        assert process.returncode == 0, log
        assert "threads left at work" in log


def test_a_defect_ends_the_process_while_a_pass_hangs(redis_server: str, tmp_path: Path) -> None:
    with started(
        "worker", FAILS_IN_WORK, redis_server, tmp_path, MODEL_PATH="stand-in:600000",
        INFERENCE_TIMEOUT_SECONDS="1000",
    ) as process, Redis.from_url(redis_server) as redis:  # fmt: skip
        redis.xadd("{plates}:images", {"v": 1, "task_id": "t1", "image": scene_file()})
        _, log = process.communicate(timeout=30)
        assert process.returncode == 1, log
        assert "ended by an error" in log


def test_a_wrong_cover_is_reported_before_anything_is_waited_for(tmp_path: Path) -> None:
    cover, model = tmp_path / "cover.png", tmp_path / "model.pt"
    for file in (cover, model):
        file.write_text("neither a picture nor a checkpoint")
    with started(
        "worker", "", "redis://127.0.0.1:1/0", tmp_path,
        COVER_IMAGE_PATH=str(cover), MODEL_PATH=str(model),
    ) as process:  # fmt: skip
        _, log = process.communicate(timeout=30)
        assert process.returncode == 2
        [line] = log.splitlines()
        assert line.startswith(f"plate-detect: {cover}: not a readable PNG")
