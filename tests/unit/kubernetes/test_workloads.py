"""Pods run without privileges, are probed where the role answers, and have time to drain."""

from pathlib import Path

import pytest
import yaml

from cli.launcher import STOP_MARGIN_SECONDS, role_command
from consumer.settings import DispatcherSettings, WorkerSettings
from tests.support.kubernetes import (
    OVERLAYS,
    ROLES,
    Resource,
    container,
    environment,
    of_kind,
    of_overlay,
    pod,
    seconds_before_kill,
    the,
)
from tests.support.tables import ROOT

EACH = [(overlay, role) for overlay in OVERLAYS for role in ROLES]
each_workload = pytest.mark.parametrize(("overlay", "role"), EACH)


def compose() -> Resource:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    services: Resource = yaml.safe_load(text)["services"]
    return services


@each_workload
def test_a_pod_meets_the_restricted_standard(overlay: str, role: str) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, `restricted`."""
    spec, one = pod(overlay, role), container(overlay, role)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
    assert [set(volume) for volume in spec["volumes"]] == [{"name", "emptyDir"}]
    assert not [port for port in one["ports"] if "hostPort" in port]


@each_workload
def test_a_pod_knows_no_other_service_and_no_cluster(overlay: str, role: str) -> None:
    spec = pod(overlay, role)
    assert spec["enableServiceLinks"] is False
    assert spec["automountServiceAccountToken"] is False
    account = of_kind(overlay, "ServiceAccount")[spec["serviceAccountName"]]
    assert account["automountServiceAccountToken"] is False


@each_workload
def test_the_home_folder_of_the_image_can_be_written(overlay: str, role: str) -> None:
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    [mount] = container(overlay, role)["volumeMounts"]
    assert f"HOME={mount['mountPath']}\n" in dockerfile


@each_workload
def test_a_pod_has_time_to_drain(overlay: str, role: str) -> None:
    before, after = seconds_before_kill(overlay, role)
    drain = float(environment(overlay, role)["DRAIN_SECONDS"])
    assert after == drain + STOP_MARGIN_SECONDS
    assert (before > 0) == (role == "producer"), "only the producer has clients that must leave"


@each_workload
def test_a_probe_asks_the_port_that_the_role_serves(overlay: str, role: str) -> None:
    one, variables = container(overlay, role), environment(overlay, role)
    [port] = one["ports"]
    setting = "PORT" if role == "producer" else "METRICS_PORT"
    assert port["containerPort"] == int(variables[setting])
    probes = {name: one[name]["httpGet"] for name in one if name.endswith("Probe")}
    assert {probe["port"] for probe in probes.values()} == {port["name"]}
    paths = {name: probe["path"] for name, probe in probes.items()}
    expected = {"startupProbe": "/health", "livenessProbe": "/health"}
    if role == "producer":
        expected |= {"startupProbe": "/ready", "readinessProbe": "/health"}
    assert paths == expected


@each_workload
def test_image_command_and_port_are_those_of_compose(overlay: str, role: str) -> None:
    is_gpu = (overlay, role) == ("gpu", "worker")
    service = compose()["worker-gpu" if is_gpu else role]
    one = container(overlay, role)
    assert one["command"] == service["command"]
    assert one["command"][1:] == role_command(role)[1:]
    name, _, tag = one["image"].rpartition("/")[2].partition(":")
    compose_name, _, target = service["image"].partition(":")
    assert name == compose_name
    assert tag.endswith(f"-{target}")
    setting = "PORT" if role == "producer" else "METRICS_PORT"
    assert environment(overlay, role)[setting] == service["environment"][setting]


def test_the_base_names_the_image_that_overlays_replace() -> None:
    text = (ROOT / "deploy/kubernetes/base/worker.yaml").read_text(encoding="utf-8")
    [deployment, _] = yaml.safe_load_all(text)
    [one] = deployment["spec"]["template"]["spec"]["containers"]
    assert one["image"] == compose()["worker"]["image"]


def test_only_the_overlay_for_gpus_asks_for_one() -> None:
    for overlay in OVERLAYS:
        limits = container(overlay, "worker")["resources"]["limits"]
        is_gpu = overlay == "gpu"
        assert limits.get("nvidia.com/gpu") == (1 if is_gpu else None)
        assert (environment(overlay, "worker").get("PROCESSING_DEVICE") == "cuda") == is_gpu


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_worker_has_as_many_threads_as_it_may_use(overlay: str) -> None:
    resources = container(overlay, "worker")["resources"]
    assert resources["limits"]["cpu"] == resources["requests"]["cpu"]


@each_workload
def test_a_drained_node_leaves_some_pods_and_pods_are_spread(overlay: str, role: str) -> None:
    labels = the(overlay, "Deployment", role)["spec"]["selector"]["matchLabels"]
    assert the(overlay, "Deployment", role)["spec"]["template"]["metadata"]["labels"] == labels
    budget = the(overlay, "PodDisruptionBudget", role)["spec"]
    assert budget["selector"]["matchLabels"] == labels
    assert budget["maxUnavailable"] in (1, "25%")
    spread = pod(overlay, role)["topologySpreadConstraints"]
    assert {one["topologyKey"] for one in spread} == {
        "topology.kubernetes.io/zone", "kubernetes.io/hostname",
    }  # fmt: skip
    assert all(one["labelSelector"]["matchLabels"] == labels for one in spread)
    assert all(one["whenUnsatisfiable"] == "ScheduleAnyway" for one in spread)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_scaled_deployment_names_no_number_of_pods(overlay: str) -> None:
    """Each `kubectl apply` would set it anew."""
    numbers = {role: the(overlay, "Deployment", role)["spec"].get("replicas") for role in ROLES}
    assert numbers == {"producer": None, "worker": None, "dispatcher": 2}
    scaler = the(overlay, "HorizontalPodAutoscaler", "producer")["spec"]
    assert scaler["scaleTargetRef"]["name"] == "plate-detect-producer"
    assert scaler["minReplicas"] >= 2
    assert "cpu" in container(overlay, "producer")["resources"]["requests"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_disk_is_shared_and_no_secret_is_written_down(overlay: str) -> None:
    kinds = {one["kind"] for one in of_overlay(overlay)}
    assert not {"PersistentVolumeClaim", "PersistentVolume", "Secret"} & kinds


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_prometheus_reads_the_ports_that_are_served(overlay: str) -> None:
    [monitor] = of_kind(overlay, "PodMonitor").values()
    endpoints = {one["port"] for one in monitor["spec"]["podMetricsEndpoints"]}
    served = {container(overlay, role)["ports"][0]["name"] for role in ROLES}
    assert endpoints == served
    defaults = {
        "worker": WorkerSettings.model_fields["metrics_port"].default,
        "dispatcher": DispatcherSettings.model_fields["metrics_port"].default,
    }
    for role, port in defaults.items():
        assert container(overlay, role)["ports"][0]["containerPort"] == port


def test_the_readme_names_every_folder() -> None:
    text = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    folders = {file.parent for file in Path(ROOT / "deploy/kubernetes").rglob("kustomization.yaml")}
    names = {str(folder.relative_to(ROOT / "deploy" / "kubernetes")) for folder in folders}
    assert {name for name in names if f"`kubernetes/{name}/`" not in text} == set()
