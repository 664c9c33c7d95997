"""docker-compose.yml on a Docker engine, with names of its own, handled as an operator does it."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.support.base_images import proxies
from tests.support.engine import Engine, compose_command
from tests.support.ports import free_port
from tests.support.service import ROOT, wait_until

IMAGE = "plate-detect-test:cpu"
ROLES = ("producer", "worker", "dispatcher")

_NO_SHELL = ["/dev/null:/usr/bin/dash:ro", "/dev/null:/usr/bin/bash:ro"]
"""Hides the shells of the image from its processes: /bin/sh is a link to dash."""


def official_images() -> tuple[str, str]:
    """Return the images of Python and Redis that the project's files name."""
    python = re.search(r"^ARG BASE_IMAGE=(\S+)$", _text("deploy/Dockerfile"), re.MULTILINE)
    assert python is not None
    return python[1], str(yaml.safe_load(_text("docker-compose.yml"))["services"]["redis"]["image"])


class Deployment:
    """One project of Docker Compose.

    Args:
        engine: that runs it.
        folder: for the files that name other images.
        python: image that the service's image is built from.
        redis: image of the server.
        settings: of the service, as in the environment of an operator.
    """

    def __init__(
        self, engine: Engine, folder: Path, python: str, redis: str, settings: dict[str, str]
    ) -> None:
        self.engine = engine
        self.project = f"plate-detect-test-{os.getpid()}"
        self.url = f"http://127.0.0.1:{(port := free_port())}"
        built = {
            "image": IMAGE,
            "build": {
                "network": "host",
                "args": {"BASE_IMAGE": python, **dict.fromkeys(proxies())},
            },
            "volumes": _NO_SHELL,
        }
        override, dotenv = folder / "override.yml", folder / "no-settings.env"
        override.write_text(
            yaml.safe_dump({"services": {"redis": {"image": redis}, **dict.fromkeys(ROLES, built)}})
        )
        dotenv.touch()
        self._environment = {**engine.environment, "PORT": str(port), **settings}
        self._command = [
            *compose_command(), "-p", self.project, "--env-file", str(dotenv),
            "-f", "docker-compose.yml", "-f", str(override),
        ]  # fmt: skip

    def compose(self, *arguments: str, timeout: float = 240) -> str:
        """Run Docker Compose; raises AssertionError, with all of its output, if it fails."""
        done = subprocess.run(
            [*self._command, *arguments],
            cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, timeout=timeout, check=False,
        )  # fmt: skip
        assert not done.returncode, f"compose {' '.join(arguments)}\n{done.stdout}"
        return done.stdout

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """Return what the engine tells of the running containers of a service, or of all."""
        filters = ["--filter", f"label=com.docker.compose.project={self.project}"]
        if service:
            filters += ["--filter", f"label=com.docker.compose.service={service}"]
        found = self.engine.docker("ps", "--quiet", *filters).split()
        described: list[dict[str, Any]] = json.loads(
            self.engine.docker("inspect", *found) if found else "[]"
        )
        return described

    def wait_healthy(self, count: int, timeout: float = 240) -> None:
        """Wait until there are ``count`` containers, and all are healthy."""

        def are_healthy() -> bool:
            states = [it["State"].get("Health", {}).get("Status") for it in self.containers()]
            return states == ["healthy"] * count

        wait_until(are_healthy, timeout, lambda: f"healthy containers\n{self.logs}")

    def submit(self, *images: tuple[str, bytes]) -> str:
        """Send images as a client would; return the task id."""
        answer = requests.post(
            f"{self.url}/api/v1/process-task/",
            files=[("files", image) for image in images], timeout=30,
        )  # fmt: skip
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    def ended(self, task_id: str, timeout: float = 120) -> dict[str, Any]:
        """Wait until a task has ended; return its status."""
        status: dict[str, Any] = {}

        def has_ended() -> bool:
            answer = requests.get(f"{self.url}/api/v1/task-status/{task_id}", timeout=30)
            assert answer.status_code == 200, answer.text
            status.update(answer.json())
            return status["status"] in ("completed", "failed")

        wait_until(has_ended, timeout, lambda: f"the end of {status}\n{self.logs}")
        return status

    def result(self, url: str) -> bytes:
        """Fetch a result."""
        answer = requests.get(self.url + url, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.content

    def redis(self, *command: str) -> Any:
        """Ask the server."""
        [server] = self.containers("redis")
        return json.loads(self.engine.docker("exec", server["Id"], "redis-cli", "--json", *command))

    def left(self) -> dict[str, list[str]]:
        """Return the containers, volumes and networks of the project, also ended ones."""
        label = ["--quiet", "--filter", f"label=com.docker.compose.project={self.project}"]
        return {
            "containers": self.engine.docker("ps", "--all", *label).split(),
            "volumes": self.engine.docker("volume", "ls", *label).split(),
            "networks": self.engine.docker("network", "ls", *label).split(),
        }

    @property
    def logs(self) -> str:
        """The last lines of all containers."""
        return self.compose("ps") + self.compose("logs", "--no-color", "--tail=40")


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
