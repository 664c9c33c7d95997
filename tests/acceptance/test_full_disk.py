"""A full disk: new uploads are refused, nothing is lost, no partial file is served."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import requests

from schemas.storage.storage import Storage, StorageError, StorageFullError
from tests.support.cpu import cpu_shares
from tests.support.disks import small_disk
from tests.support.pictures import pixels_of, scene_file
from tests.support.redis_server import RedisServer
from tests.support.service import Service, running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(120)]

SIZE_MB = 6
WATCHED_SECONDS = 4.0


def fill(folder: Path) -> Path:
    """Fill the disk; return the file that fills it."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
    return filler


async def test_a_full_disk_has_an_error_of_its_own(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", SIZE_MB):
        storage = Storage.open((tmp_path / "disk").as_uri())
        await storage.put("t1/output/small", b"RIFF")
        with pytest.raises(StorageFullError):
            await storage.put("t1/output/large", bytes((SIZE_MB + 1) << 20))
        (tmp_path / "disk/t1/output/taken").mkdir()
        with pytest.raises(StorageError) as refused:
            await storage.put("t1/output/taken", b"RIFF")
        assert not isinstance(refused.value, StorageFullError)


def test_nothing_is_lost_while_the_disk_is_full(own_redis: RedisServer, tmp_path: Path) -> None:
    with small_disk(tmp_path / "tasks_storage", SIZE_MB), running(
        own_redis.url, tmp_path, "producer", "dispatcher",
        MODEL_PATH="stand-in:50", SWEEP_INTERVAL_SECONDS="0.5",
    ) as service:  # fmt: skip
        task_id = service.submit(*[(f"{number}.jpg", scene_file(number)) for number in range(4)])
        filler = fill(service.storage)
        service.start("worker")
        wait_until(lambda: "put:" in service.roles["worker"].log, 30, lambda: service.logs)
        refused(service)
        shares = cpu_shares({"worker": service.roles["worker"].pid}, WATCHED_SECONDS)
        assert shares["worker"] < 0.2
        state: Any = service.status(task_id)
        assert (state["status"], state["progress"]["done"]) == ("processing", 0)
        hidden = requests.get(
            f"{service.url}/tasks_storage/{task_id}/output/covered_0.webp", timeout=9
        )
        assert hidden.status_code == 404
        filler.unlink()
        state = service.wait_final(task_id)
        assert state["errors"] == []
        for number, result in enumerate(state["results"]):
            assert (
                pixels_of(service.result(result["url"])).shape
                == pixels_of(scene_file(number)).shape
            )
        assert len(state["results"]) == 4
        wait_until(lambda: len(stored(service)) == 4, 20, lambda: f"{stored(service)}")
        assert service.wait_final(service.submit(("a.jpg", scene_file(0))))["status"] == "completed"


def refused(service: Service) -> None:
    """Check that a new upload is refused with Retry-After and leaves no file."""
    there = originals(service)
    answer = requests.post(
        f"{service.url}/api/v1/process-task/",
        files=[("files", ("new.jpg", scene_file(0)))], timeout=30,
    )  # fmt: skip
    assert answer.status_code == 503, answer.text
    assert int(answer.headers["Retry-After"]) > 0

    def unready() -> bool:
        # Filled again: an unfinished file that was removed has left room.
        fill(service.storage)
        return requests.get(f"{service.url}/ready", timeout=30).status_code == 503

    wait_until(unready, 10, lambda: service.logs)
    wait_until(lambda: originals(service) == there, 10, lambda: f"{stored(service)}, not {there}")


def originals(service: Service) -> list[str]:
    """Return the files of uploads; the worker tries to write results all the time."""
    return [path for path in stored(service) if "/input/" in path]


def stored(service: Service) -> list[str]:
    """Return all files of tasks, unfinished ones too."""
    return sorted(
        str(Path(folder, name).relative_to(service.storage))
        for folder, _, names in os.walk(service.storage)
        for name in names
        if Path(folder) != service.storage
    )
