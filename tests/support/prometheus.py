"""A real Prometheus that runs the shipped configuration against processes on this host."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.support.ports import free_port
from tests.support.programs import needed_program
from tests.support.service import ROOT, wait_until

MONITORING = ROOT / "deploy" / "monitoring"


class Prometheus:
    """The HTTP API of a running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of a response."""
        response = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30)
        assert response.ok, f"{parameters}: {response.text}"
        return response.json()["data"]

    def query(self, expression: str) -> list[Any]:
        """Return the series of an expression as they are now."""
        result: list[Any] = self.get("query", query=expression)["result"]
        return result

    def targets(self) -> list[tuple[str, str, str]]:
        """Return job, health and last error of each target."""
        return [
            (it["labels"]["job"], it["health"], it["lastError"])
            for it in self.get("targets")["activeTargets"]
        ]

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules with their state."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]


def configuration(targets: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the shipped configuration with these targets by role, and a scrape each second."""
    found: dict[str, Any] = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    found["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    found["rule_files"] = [str(MONITORING / name) for name in found["rule_files"]]
    for job in found["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": targets[job["job_name"].rpartition("-")[2]]}]
    return found


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, list[str]]) -> Iterator[Prometheus]:
    """Run Prometheus; targets are `host:port` by role."""
    folder.mkdir()
    config, port = folder / "prometheus.yml", free_port()
    config.write_text(yaml.safe_dump(configuration(targets)))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                needed_program("prometheus"), f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}",
            ],
            stderr=log,
        )  # fmt: skip
    server = Prometheus(f"http://127.0.0.1:{port}")
    try:
        wait_until(lambda: _is_ready(server), 30, (folder / "log").read_text)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def _is_ready(server: Prometheus) -> bool:
    try:
        return requests.get(f"{server.url}/-/ready", timeout=5).ok
    except requests.ConnectionError:
        return False
