"""The whole service as users see it: real processes, real server, real model."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import requests
from redis import Redis

from tests.support.pictures import assert_covered, scene, scene_file
from tests.support.programs import needed_program
from tests.support.receiver import Receiver, receiving
from tests.support.redis_server import ON_EACH_SERVER, RedisServer
from tests.support.service import Service, running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(300)]


def webhooks(receiver: Receiver) -> dict[str, str]:
    return {
        "backend_upload_url": f"{receiver.url}/upload",
        "backend_callback_url": f"{receiver.url}/callback",
    }


def start(redis_url: str, folder: Path, receiver: Receiver, **settings: str) -> Any:
    hooks = {name.upper(): url for name, url in webhooks(receiver).items()}
    return running(
        redis_url, folder, "worker", "dispatcher", "producer", **hooks,
        WEBHOOK_UPLOAD_TIMEOUT_SECONDS="5",
        WEBHOOK_RETRY_SECONDS="0.2", SWEEP_INTERVAL_SECONDS="0.5", **settings,
    )  # fmt: skip


def results_of(state: dict[str, object]) -> list[object]:
    results = state["results"]
    assert isinstance(results, list)
    return results


def stored_files(service: Service) -> list[str]:
    return sorted(
        str(path.relative_to(service.storage))
        for path in service.storage.rglob("*")
        if path.is_file()
    )


@ON_EACH_SERVER
def test_http_to_webhooks(redis_server: str, tmp_path: Path) -> None:
    with receiving(refuse=2) as receiver, start(redis_server, tmp_path, receiver) as service:
        task_id = service.submit(
            ("машина.jpg", scene_file(0)),
            ("b.png", scene_file(1, "PNG")),
            ("b.jpg", scene_file(2)[:20_000]),
        )
        state = service.wait_final(task_id)
        assert state["status"] == "completed"
        results: Any = state["results"]
        assert [r["filename"] for r in results] == ["covered_машина.webp", "covered_b.webp"]
        errors: Any = state["errors"]
        assert [(e["filename"], e["code"]) for e in errors] == [("b.jpg", "corrupt_image")]
        for seed, result in enumerate(results):
            assert_covered(scene(seed), service.result(result["url"]))

        wait_until(lambda: receiver.uploads and receiver.callbacks, 30, "webhooks")
        assert receiver.refused == 2
        [upload], [(callback_id, body)] = receiver.uploads, receiver.callbacks
        assert upload.task_id == task_id
        assert upload.content_types == {"image/webp"}
        assert upload.images == {r["filename"]: service.result(r["url"]) for r in results}
        assert body == state
        assert upload.webhook_id != callback_id

        wait_until(lambda: len(stored_files(service)) == 2, 10, "originals to be gone")
        original = requests.get(f"{service.url}/tasks_storage/{task_id}/input/0", timeout=10)
        assert original.status_code == 404


@pytest.mark.slow
def test_the_documented_curl_examples(redis_server: str, tmp_path: Path) -> None:
    curl = needed_program("curl")
    (tmp_path / "image1.jpg").write_bytes(scene_file(7))
    (tmp_path / "image2.png").write_bytes(scene_file(1, "PNG"))
    with running(redis_server, tmp_path, "worker", "producer") as service:
        answer = json.loads(
            subprocess.check_output(
                [curl, "-sS", "-X", "POST", f"{service.url}/api/v1/process-task/",
                 "-F", f"files=@{tmp_path}/image1.jpg", "-F", f"files=@{tmp_path}/image2.png"]
            )
        )  # fmt: skip
        task_id = answer["task_id"]
        service.wait_final(task_id)
        state = json.loads(
            subprocess.check_output(
                [curl, "-sS", "-X", "GET", f"{service.url}/api/v1/task-status/{task_id}"]
            )
        )
        assert state["task_id"] == task_id
        assert state["status"] == "completed"
        result = state["results"][0]
        assert result["filename"] == "covered_image1.webp"
        assert result["url"] == f"/tasks_storage/{task_id}/output/covered_image1.webp"
        assert len(result["detections"]) == 1


def test_direct_publish_is_the_same_as_http(redis_server: str, tmp_path: Path) -> None:
    with receiving() as receiver, start(redis_server, tmp_path, receiver) as service:
        with Redis.from_url(redis_server) as redis:
            redis.xadd(
                "{plates}:images",
                {"v": 1, "task_id": "from-outside", "filename": "van.jpg", "image": scene_file(3)},
            )
        wait_until(lambda: receiver.callbacks, 60, f"the callback\n{service.logs}")
        state = service.status("from-outside")
        results: Any = state["results"]
        assert_covered(scene(3), service.result(results[0]["url"]))
        assert receiver.callbacks[0][1] == state
        wait_until(lambda: receiver.uploads, 30, "the upload")
        assert list(receiver.uploads[0].images) == ["covered_van.webp"]


@pytest.mark.slow
@pytest.mark.parametrize("role", ["producer", "worker", "dispatcher"])
def test_killing_one_role_in_the_middle_loses_nothing(
    role: str, own_redis: RedisServer, tmp_path: Path
) -> None:
    tasks, images = 10, 10
    files = [(f"{seed}.jpg", scene_file(seed, width=640)) for seed in range(images)]
    # A write that the kill cuts off leaves a part of a file until this time is over.
    grace = {"UPLOAD_GRACE_SECONDS": "10"}
    with receiving() as receiver, start(own_redis.url, tmp_path, receiver, **grace) as service:
        ids = [service.submit(*files) for _ in range(tasks)]
        with Redis.from_url(own_redis.url) as redis:
            wait_until(lambda: redis.xlen("{plates}:images") < 70, 60, "the middle of the work")
            service.roles[role].restart()
            if role == "producer":
                service.wait_ready()
            states = [service.wait_final(task_id, 120) for task_id in ids]
            wait_until(lambda: len(_ids(receiver.callbacks)) == tasks, 60, "all callbacks")
            wait_until(lambda: len({u.task_id for u in receiver.uploads}) == tasks, 60, "uploads")
            events: Any = redis.xrange("{plates}:events")
            assert sorted(e[1][b"task_id"].decode() for e in events) == sorted(ids)
            assert redis.xlen("{plates}:images") == 0
            assert redis.zcard("{plates}:open-tasks") == 0
        assert {str(state["status"]) for state in states} == {"completed"}
        assert [len(results_of(state)) for state in states] == [images] * tasks
        wait_until(
            lambda: len(stored_files(service)) == tasks * images, 40,
            lambda: f"originals and cut off files to go: {stored_files(service)}\n{service.logs}",
        )  # fmt: skip


def _ids(callbacks: list[tuple[str, dict[str, Any]]]) -> set[str]:
    return {webhook_id for webhook_id, _ in callbacks}


@pytest.mark.slow
def test_server_restart_in_the_middle_loses_nothing(own_redis: RedisServer, tmp_path: Path) -> None:
    files = [(f"{seed}.jpg", scene_file(seed, width=640)) for seed in range(10)]
    with receiving() as receiver, start(own_redis.url, tmp_path, receiver) as service:
        ids = [service.submit(*files) for _ in range(3)]
        with Redis.from_url(own_redis.url) as redis:
            wait_until(lambda: redis.xlen("{plates}:images") < 25, 60, "the middle of the work")
        own_redis.kill()
        assert requests.get(f"{service.url}/ready", timeout=30).status_code == 503
        own_redis.start()
        service.wait_ready()
        for task_id in ids:
            state = service.wait_final(task_id, 60)
            assert len(results_of(state)) == 10
        wait_until(lambda: len(_ids(receiver.callbacks)) == 3, 30, "callbacks")


@pytest.mark.slow
def test_sigterm_under_load_redelivers_nothing(own_redis: RedisServer, tmp_path: Path) -> None:
    files = [(f"{seed}.jpg", scene_file(seed)) for seed in range(20)]
    with running(own_redis.url, tmp_path, "worker", "producer") as service:
        ids = [service.submit(*files), service.submit(*files)]
        with Redis.from_url(own_redis.url) as redis:
            wait_until(lambda: redis.xlen("{plates}:images") < 38, 60, "load")
            assert service.roles["worker"].terminate() == 0
            pending: Any = redis.xpending("{plates}:images", "workers")
            assert pending["pending"] == 0
            assert redis.xlen("{plates}:images") > 0, "nothing is left for the second worker"
            service.start("worker-2")
            for task_id in ids:
                assert len(results_of(service.wait_final(task_id))) == 20
        metrics = requests.get(service.metrics_url("worker-2"), timeout=10).text
        assert "plate_redeliveries_total 0.0" in metrics


@pytest.mark.slow
def test_nothing_of_a_task_outlives_its_ttl(own_redis: RedisServer, tmp_path: Path) -> None:
    settings = {"TASK_STORAGE_TTL_HOURS": "0.002", "UPLOAD_GRACE_SECONDS": "1"}
    with receiving() as receiver, start(own_redis.url, tmp_path, receiver, **settings) as service:
        state = service.wait_final(service.submit(("a.jpg", scene_file())))
        assert state["status"] == "completed"
        assert len(stored_files(service)) == 1
        wait_until(lambda: not list(service.storage.iterdir()), 60, "the folder to go")
        url = f"{service.url}/api/v1/task-status/{state['task_id']}"
        assert requests.get(url, timeout=10).status_code == 404
        with Redis.from_url(own_redis.url) as redis:
            wait_until(lambda: not redis.keys("{plates}:task:*"), 10, "the task's hash to go")
            wait_until(lambda: redis.xlen("{plates}:events") == 0, 10, "its event to be trimmed")


def test_wrong_setting_stops_the_start_with_one_line(redis_server: str, tmp_path: Path) -> None:
    for role, setting in (("worker", "PROCESSING_DEVICE"), ("dispatcher", "BACKEND_UPLOAD_URL")):
        service = Service(redis_server, tmp_path, **{setting: "nonsense"})
        service.start(role)
        assert service.roles[role].wait() == 2
        lines = service.roles[role].log.strip().splitlines()
        assert len(lines) == 1
        assert setting in lines[0]


def test_every_role_tells_prometheus(redis_server: str, tmp_path: Path) -> None:
    with running(redis_server, tmp_path, "worker", "dispatcher", "producer") as service:
        service.wait_final(service.submit(("a.jpg", scene_file())))
        worker = requests.get(service.metrics_url("worker"), timeout=10).text
        for stage in ("queue", "decode", "inference", "cover", "encode", "store"):
            assert f'plate_stage_seconds_count{{stage="{stage}"}}' in worker
        assert 'plate_images_total{outcome="covered"} 1.0' in worker
        assert "plate_batch_size_sum 1.0" in worker
        assert requests.get(service.metrics_url("dispatcher"), timeout=10).status_code == 200
        assert "plate_" in requests.get(f"{service.url}/metrics", timeout=10).text
