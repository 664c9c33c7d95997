"""Storage whose disk is unmounted for a while: images and upload webhooks wait for it."""

import asyncio
from pathlib import Path

import pytest
from redis import Redis

from schemas.storage.layout import input_key
from schemas.storage.storage import Storage
from tests.support.disks import mount, small_disk, unmount
from tests.support.pictures import scene_file
from tests.support.receiver import receiving
from tests.support.redis_server import RedisServer
from tests.support.service import running, wait_until

NEVER = 1_000_000

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(120)]


def test_queued_work_waits_for_an_unmounted_disk(own_redis: RedisServer, tmp_path: Path) -> None:
    folder = tmp_path / "tasks_storage"
    folder.mkdir()
    with small_disk(tmp_path / "disk", 8), receiving(refuse=NEVER) as receiver:
        mount("--bind", str(tmp_path / "disk"), str(folder))
        with running(
            own_redis.url, tmp_path, "producer", "worker", "dispatcher", MODEL_PATH="stand-in:1",
            BACKEND_UPLOAD_URL=f"{receiver.url}/upload", WEBHOOK_RETRY_SECONDS="1",
        ) as service:  # fmt: skip
            # A role that starts without the disk would accept the empty folder.
            for role in ("worker", "dispatcher"):
                wait_until(
                    lambda role=role: f"{role} ready" in service.roles[role].log, 30,
                    lambda: service.logs,
                )  # fmt: skip
            asyncio.run(Storage.open(folder.as_uri()).put(input_key("t1", 0), scene_file()))
            unmount(folder)
            try:
                with Redis.from_url(own_redis.url) as redis:
                    entry = {"v": "1", "task_id": "t1", "object": input_key("t1", 0)}
                    redis.xadd("{plates}:images", entry)
                wait_until(
                    lambda: "mount it as it was" in service.roles["worker"].log,
                    30,
                    lambda: service.logs,
                )
            finally:
                mount("--bind", str(tmp_path / "disk"), str(folder))
            try:
                assert service.wait_final("t1")["status"] == "completed"
                wait_until(lambda: receiver.refused, 30, "the first try")
                unmount(folder)
                wait_until(
                    lambda: "StorageError" in service.roles["dispatcher"].log,
                    30,
                    lambda: service.logs,
                )
                receiver.refuse = 0
                mount("--bind", str(tmp_path / "disk"), str(folder))
                wait_until(lambda: receiver.uploads, 30, lambda: service.logs)
            finally:
                unmount(folder)
