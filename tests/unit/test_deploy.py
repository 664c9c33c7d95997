"""Deployment files agree with each other and with the program."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from cli.launcher import STOP_MARGIN_SECONDS
from consumer.settings import DispatcherSettings, WorkerSettings
from tests.support.engine import compose_command

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
    assert gpu["build"]["target"] == "cuda"


def test_every_other_role_runs_in_the_image_without_pytorch(services: dict[str, Any]) -> None:
    roles = [services[role] for role in ROLES if role != "worker-gpu"]
    assert {role["build"]["target"] for role in roles} == {"cpu"}
    assert not any("args" in role["build"] for role in roles)


def test_prometheus_scrapes_the_ports_that_are_served() -> None:
    jobs = yaml.safe_load(read("deploy/monitoring/prometheus.yml"))["scrape_configs"]
    ports = {job["job_name"].rpartition("-")[2]: job["dns_sd_configs"][0]["port"] for job in jobs}
    assert ports == {
        "producer": 8000,
        "worker": WorkerSettings.model_fields["metrics_port"].default,
        "dispatcher": DispatcherSettings.model_fields["metrics_port"].default,
    }


def test_prometheus_asks_the_services_of_compose(services: dict[str, Any]) -> None:
    jobs = yaml.safe_load(read("deploy/monitoring/prometheus.yml"))["scrape_configs"]
    names = {name for job in jobs for name in job["dns_sd_configs"][0]["names"]}
    assert names == set(ROLES)


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_monitoring_is_a_profile_that_only_this_machine_reaches(
    services: dict[str, Any], name: str
) -> None:
    service = services[name]
    assert service["profiles"] == ["monitoring"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    mounts = [volume.split(":") for volume in service["volumes"] if volume.startswith("./")]
    assert mounts
    assert all((PROJECT / source).exists() for source, *_ in mounts)
    assert {options for *_, options in mounts} == {"ro"}


def test_grafana_finds_prometheus_and_the_dashboard(services: dict[str, Any]) -> None:
    folder = "deploy/monitoring/grafana/provisioning"
    (source,) = yaml.safe_load(read(f"{folder}/datasources/prometheus.yml"))["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load(read(f"{folder}/dashboards/plate-detect.yml"))["providers"]
    places = [volume.split(":")[1] for volume in services["grafana"]["volumes"]]
    assert provider["options"]["path"] in places


def stages() -> dict[str, tuple[str, str]]:
    """Return the stages of the Dockerfile by name, in order: what each starts from, its text."""
    parts = re.split(r"^FROM (\S+) AS (\S+)$", read("deploy/Dockerfile"), flags=re.MULTILINE)
    return {
        name: (base, text)
        for base, name, text in zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    }


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_runs_unprivileged(target: str) -> None:
    _, text = stages()[target]
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)


def test_only_the_image_for_cuda_has_pytorch() -> None:
    found = stages()
    assert list(found)[-1] == "cpu", "the last stage is what `docker build` makes by default"
    base, text = found["cpu"]
    assert base == "packages-cpu"
    packages = found[base][1] + text
    assert "requirements.py --cpu" in packages
    assert "torch" not in packages
    assert found["cuda"][0] == "packages-cuda"
    assert "ARG TORCH_INDEX_URL=" in found["packages-cuda"][1]


def test_the_build_context_holds_what_the_image_copies() -> None:
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", read("deploy/Dockerfile"), re.MULTILINE)
    sources = [source.rstrip("/") for line in lines for source in line.split()]
    admitted = re.findall(r"^!(\S+)$", read(".dockerignore"), re.MULTILINE)
    assert sorted(sources) == sorted(admitted)
    assert all((PROJECT / source).exists() for source in sources)


def dependencies(name: str) -> set[str]:
    project = tomllib.loads(read(name))["project"]
    return {*project["dependencies"]}.union(*project["optional-dependencies"].values())


def test_constraints_agree_with_the_direct_pins() -> None:
    locked = {line.lower().replace("_", "-") for line in read("constraints.txt").splitlines()}
    direct = {re.sub(r"\[.*?\]", "", pin) for pin in dependencies("pyproject.toml")}
    assert direct <= locked


def test_the_ranges_of_the_client_admit_the_pins() -> None:
    pins = dict(pin.split("==") for pin in dependencies("pyproject.toml"))
    for text in dependencies("client/pyproject.toml"):
        needed = Requirement(text)
        assert needed.specifier.contains(pins[needed.name]), text
        assert {each.operator for each in needed.specifier} == {">=", "<"}, text


def test_compose_reads_the_file_and_takes_settings_from_dotenv(tmp_path: Path) -> None:
    shutil.copy(PROJECT / "docker-compose.yml", tmp_path)
    upload_url = "http://host.docker.internal:8001/api/images/upload"
    (tmp_path / ".env").write_text(f'BACKEND_UPLOAD_URL="{upload_url}"\n', encoding="utf-8")
    shown = subprocess.run(
        [*compose_command(), "--profile", "gpu", "--profile", "monitoring", "config"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    services = yaml.safe_load(shown.stdout)["services"]
    assert services["dispatcher"]["environment"]["BACKEND_UPLOAD_URL"] == upload_url
    assert services["producer"]["environment"]["REDIS_HOST"] == "redis"
    assert set(services) == {"redis", *ROLES, "prometheus", "grafana"}
