"""The image is built, and the compose file brought up, on a Docker engine.

The target `cuda` is not built: its packages have several gigabytes. test_packages.py resolves them.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.base_images import python_image, redis_image
from tests.support.compose import IMAGE, ROLES, Deployment, official_images
from tests.support.engine import running_engine
from tests.support.pictures import assert_covered, scene, scene_file
from tests.support.service import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(900)]

LARGEST_IMAGE_BYTES = 700_000_000

# As in docker-compose.yml, but without a network.
CONFINED = (
    "run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL",
    "--security-opt", "no-new-privileges", "--volume", "/app/tasks_storage",
)  # fmt: skip

COVER = """
import os, sys
from pathlib import Path
from cli.main import app

try:
    Path("/app/written").touch()
except OSError as error:
    assert error.strerror == "Read-only file system", error
else:
    sys.exit("The root file system can be written to.")
app(["cover", "static/example.jpg", "--out", "tasks_storage/out"], standalone_mode=False)
[result] = Path("tasks_storage/out").glob("*.webp")
print(os.getuid(), os.getgid(), result.stat().st_size)
"""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The compose file with its image built, not yet up."""
    folder = tmp_path_factory.mktemp("images")
    with running_engine() as engine:
        python, redis = official_images()
        python = python_image(engine, python, folder)
        found = Deployment(
            engine, folder, python, redis_image(engine, redis, python),
            # A dead worker's images are taken over soon, and a second CPU is left to the others.
            {"LEASE_SECONDS": "5", "PROCESSING_THREADS": "1", "INFERENCE_THREADS": "1"},
        )  # fmt: skip
        print(f"The image is built from {python}.")
        try:
            found.compose("build", "producer", timeout=500)
            yield found
        finally:
            found.compose("down", "-v")


@pytest.fixture(scope="module")
def running(deployment: Deployment) -> Deployment:
    """The compose file brought up."""
    deployment.compose("up", "-d", "--no-build")
    deployment.wait_healthy(1 + len(ROLES))
    return deployment


def described(deployment: Deployment) -> dict[str, Any]:
    [image] = json.loads(deployment.engine.docker("image", "inspect", IMAGE))
    found: dict[str, Any] = image
    return found


def test_the_image_is_small(deployment: Deployment) -> None:
    size = described(deployment)["Size"]
    print(f"The image for the CPU has {size / 1e6:.0f} MB.")
    assert size <= LARGEST_IMAGE_BYTES


def test_the_image_has_no_pytorch(deployment: Deployment) -> None:
    code = "from importlib.util import find_spec as f; print(f('torch'), f('ultralytics'))"
    assert deployment.engine.docker(*CONFINED, IMAGE, "python", "-c", code) == "None None"


@pytest.mark.parametrize(
    ("user", "ids"), [((), "10001 10001"), (("--user", "1234567"), "1234567 0")]
)
def test_any_user_covers_an_image_on_a_read_only_root(
    deployment: Deployment, user: tuple[str, ...], ids: str
) -> None:
    printed = deployment.engine.docker(*CONFINED, *user, IMAGE, "python", "-c", COVER)
    assert printed.splitlines()[-1].startswith(ids), printed


def test_containers_run_confined(running: Deployment) -> None:
    for role in ROLES:
        [container] = running.containers(role)
        assert container["Config"]["User"] == "10001:10001", role
        assert container["HostConfig"]["ReadonlyRootfs"], role
        assert container["HostConfig"]["CapDrop"] == ["ALL"], role


def test_health_is_asked_without_a_shell(running: Deployment) -> None:
    """They are healthy although their shells are hidden."""
    for container in running.containers():
        assert container["Config"]["Healthcheck"]["Test"][0] == "CMD"
        assert container["State"]["Health"]["Status"] == "healthy"
    [worker] = running.containers("worker")
    with pytest.raises(AssertionError, match="sh"):
        running.engine.docker("exec", worker["Id"], "sh", "-c", "true")


def test_a_photo_is_covered(running: Deployment) -> None:
    ended = running.ended(running.submit(("street.jpg", scene_file())))
    [result] = ended["results"]
    assert_covered(scene(), running.result(result["url"]))


def test_a_killed_worker_of_three_loses_no_image(running: Deployment) -> None:
    running.compose("up", "-d", "--no-build", "--no-recreate", "--scale", "worker=3")
    running.wait_healthy(3 + len(ROLES))
    images = [(f"{seed}.jpg", scene_file(seed)) for seed in range(8)]
    tasks = [running.submit(*images) for _ in range(3)]
    workers = {it["Id"][:12]: it["Id"] for it in running.containers("worker")}
    assert len(workers) == 3
    busy: list[str] = []

    def one_is_busy() -> bool:
        waiting = running.redis("XPENDING", "{plates}:images", "workers")[3] or []
        busy[:] = [workers[consumer[:12]] for consumer, _ in waiting]
        return bool(busy)

    wait_until(one_is_busy, 30, lambda: running.logs)
    running.engine.docker("kill", busy[0])
    for task in tasks:
        ended = running.ended(task)
        assert not ended["errors"]
        assert len(ended["results"]) == len(images)
    assert len(running.containers("worker")) == 2
    assert running.redis("XLEN", "{plates}:images") == 0
    assert running.redis("XLEN", "{plates}:dead-letters") == 0


def test_down_leaves_nothing(running: Deployment) -> None:
    there = running.left()
    assert all(there.values()), there
    running.compose("down", "-v")
    assert not any(running.left().values())
