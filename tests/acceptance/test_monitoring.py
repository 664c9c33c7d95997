"""A real Prometheus, with the shipped rules, beside a service under load."""

from pathlib import Path

import pytest
import requests

from tests.support.pictures import scene_file
from tests.support.programs import needed_program
from tests.support.prometheus import Prometheus, prometheus
from tests.support.promql import panel_expressions, rules, selectors
from tests.support.receiver import receiving
from tests.support.redis_server import RedisServer
from tests.support.service import Service, running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(300)]

BACKLOG = 40


def overload(service: Service) -> None:
    """Submit twice what the backlog takes once, while no worker runs; then start the others."""
    files = [("files", (f"{number}.jpg", scene_file()[:1000])) for number in range(30)]
    url = f"{service.url}/api/v1/process-task/"
    accepted, refused = (requests.post(url, files=files, timeout=30) for _ in range(2))
    assert (accepted.status_code, refused.status_code) == (202, 503)
    service.start("worker", "worker-2", "dispatcher")
    service.wait_final(accepted.json()["task_id"])


def work(service: Service) -> None:
    """Let every role do something: tasks of two images, and of one that is broken."""
    picture = scene_file(0, width=640)
    files = ("a.jpg", picture), ("b.jpg", picture), ("broken.jpg", picture[:9000])
    for task_id in [service.submit(*files) for _ in range(4)]:
        service.wait_final(task_id)


def without_series(server: Prometheus, expressions: set[str]) -> list[str]:
    return sorted(expression for expression in expressions if not server.query(expression))


def test_every_role_every_alert_and_every_panel_has_its_series(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    needed_program("prometheus")
    wanted = set(panel_expressions())
    for expression in (*wanted, *(rule["expr"] for rule in rules())):
        wanted |= selectors(expression)
    with (
        receiving() as receiver,
        running(
            own_redis.url, tmp_path, "producer",
            BACKEND_UPLOAD_URL=f"{receiver.url}/upload",
            BACKEND_CALLBACK_URL=f"{receiver.url}/callback",
            MAX_BACKLOG_IMAGES=str(BACKLOG),
        ) as service,
    ):  # fmt: skip
        overload(service)
        with prometheus(tmp_path / "prometheus", targets(service)) as server:
            watch(service, server, wanted)


def watch(service: Service, server: Prometheus, wanted: set[str]) -> None:
    def is_complete() -> bool:
        work(service)
        return not without_series(server, wanted)

    wait_until(is_complete, 90, lambda: f"series of {without_series(server, wanted)}")
    assert sorted(server.targets()) == [
        ("plate-detect-dispatcher", "up", ""),
        ("plate-detect-producer", "up", ""),
        ("plate-detect-worker", "up", ""),
        ("plate-detect-worker", "up", ""),
    ]
    states = {rule["name"]: (rule["health"], rule["state"]) for rule in server.rules()}
    assert set(states) == {rule["alert"] for rule in rules()}
    assert {health for health, _ in states.values()} == {"ok"}
    # Some expressions are true for a moment under load; none is true for long.
    assert [name for name, (_, state) in states.items() if state == "firing"] == []
    service.roles["worker-2"].kill()
    wait_until(lambda: server.query("up == 0"), 30, "a killed worker to be noticed")


def targets(service: Service) -> dict[str, list[str]]:
    def address(name: str) -> str:
        return service.metrics_url(name).split("/")[2]

    return {
        "producer": [f"127.0.0.1:{service.port}"],
        "worker": [address("worker"), address("worker-2")],
        "dispatcher": [address("dispatcher")],
    }
