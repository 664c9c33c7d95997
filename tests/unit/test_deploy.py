"""Deployment files agree with each other and with the program."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.launcher import STOP_MARGIN_SECONDS
from consumer.settings import DispatcherSettings, WorkerSettings
from tests.support.programs import skip_without

PROJECT = Path(__file__).resolve().parents[2]
ROLES = ("producer", "worker", "worker-gpu", "dispatcher")


def read(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(read("docker-compose.yml"))["services"]
    return found


def test_redis_forgets_nothing_that_was_accepted(services: dict[str, Any]) -> None:
    command = services["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert "redis_data:/data" in services["redis"]["volumes"]


@pytest.mark.parametrize("role", ROLES)
def test_a_container_has_time_to_drain(services: dict[str, Any], role: str) -> None:
    grace = float(services[role]["stop_grace_period"].removesuffix("s"))
    drain = float(services[role]["environment"]["DRAIN_SECONDS"])
    assert drain + STOP_MARGIN_SECONDS <= grace
    assert drain == WorkerSettings.model_fields["drain_seconds"].default


@pytest.mark.parametrize("role", ROLES)
def test_every_role_shares_storage_and_reaches_the_host(
    services: dict[str, Any], role: str
) -> None:
    service = services[role]
    assert service["volumes"] == ["tasks_storage:/app/tasks_storage"]
    assert service["extra_hosts"] == ["host.docker.internal:host-gateway"]
    assert service["depends_on"] == {"redis": {"condition": "service_healthy"}}


@pytest.mark.parametrize("role", ROLES)
def test_a_health_check_asks_the_port_that_the_role_serves(
    services: dict[str, Any], role: str
) -> None:
    environment = services[role]["environment"]
    port = environment["PORT"] if role == "producer" else environment["METRICS_PORT"]
    assert f"127.0.0.1:{port}/health" in services[role]["healthcheck"]["test"][-1]


def test_gpu_is_a_profile_with_a_device(services: dict[str, Any]) -> None:
    gpu = services["worker-gpu"]
    assert gpu["profiles"] == ["gpu"]
    assert gpu["environment"]["PROCESSING_DEVICE"] == "cuda"
    assert gpu["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert gpu["image"] != services["worker"]["image"]


def test_prometheus_scrapes_the_ports_that_are_served() -> None:
    jobs = yaml.safe_load(read("deploy/prometheus.yml"))["scrape_configs"]
    ports = {job["job_name"].rpartition("-")[2]: job["dns_sd_configs"][0]["port"] for job in jobs}
    assert ports == {
        "producer": 8000,
        "worker": WorkerSettings.model_fields["metrics_port"].default,
        "dispatcher": DispatcherSettings.model_fields["metrics_port"].default,
    }


def test_the_image_runs_unprivileged_on_the_cpu_by_default() -> None:
    dockerfile = read("deploy/Dockerfile")
    assert re.search(r"^USER 10001:10001$", dockerfile, re.MULTILINE)
    assert "ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu" in dockerfile


def test_the_build_context_holds_what_the_image_copies() -> None:
    sources = re.findall(r"^COPY (\S+) ", read("deploy/Dockerfile"), re.MULTILINE)
    admitted = re.findall(r"^!(\S+)$", read(".dockerignore"), re.MULTILINE)
    assert sorted(source.rstrip("/") for source in sources) == sorted(admitted)


def test_constraints_agree_with_the_direct_pins() -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    extras = project["optional-dependencies"]
    direct = {pin for pins in (project["dependencies"], *extras.values()) for pin in pins}
    locked = {line.lower().replace("_", "-") for line in read("constraints.txt").splitlines()}
    assert direct <= locked


def compose_command() -> list[str]:
    """Return the command of Docker Compose: the plugin of docker, or the program of its own."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    plugin = ["docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*plugin, "version"], check=False).returncode:
        skip_without("Docker Compose is not installed")
    return plugin


def test_compose_reads_the_file_and_takes_settings_from_dotenv(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "docker-compose.yml", tmp_path)
    upload_url = "http://host.docker.internal:8001/api/images/upload"
    (tmp_path / ".env").write_text(f'BACKEND_UPLOAD_URL="{upload_url}"\n', encoding="utf-8")
    shown = subprocess.run(
        [*compose_command(), "--profile", "gpu", "config"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    services = yaml.safe_load(shown.stdout)["services"]
    assert services["dispatcher"]["environment"]["BACKEND_UPLOAD_URL"] == upload_url
    assert services["producer"]["environment"]["REDIS_HOST"] == "redis"
    assert set(services) == {"redis", *ROLES}
