"""The files for Kubernetes render, and servers of three versions accept what comes out."""

import copy
import json
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.support.kubernetes import FOLDER, OVERLAYS, Resource, of_overlay, rendered
from tests.support.programs import needed_program, skip_without

VERSIONS = ("1.29", "1.33", "1.37")
CUSTOM = ("keda.sh/", "monitoring.coreos.com/", "gateway.networking.k8s.io/")
FOLDERS = (*(f"overlays/{overlay}" for overlay in OVERLAYS), "gateway")
TESTS = Path(__file__).parents[2]
MODELS = TESTS / "node_modules" / "@kubernetes-models"

# What kubectl reads since 1.14. The versions of Debian stable are old.
OLD_FIELDS = {
    "apiVersion", "kind", "namespace", "bases", "resources", "images", "configMapGenerator",
    "patchesStrategicMerge", "patchesJson6902",
}  # fmt: skip


def is_custom(resource: Resource) -> bool:
    return str(resource["apiVersion"]).startswith(CUSTOM)


def faults(resource: Resource, version: str) -> str:
    try:
        kubernetes_validate.validate(resource, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{'.'.join(map(str, error.path))}: {error.message}"
    return ""


def custom_faults(resources: list[Resource], folder: Path) -> str:
    if not MODELS.exists():
        skip_without("the types of custom resources are not installed: npm ci --prefix tests")
    file = folder / "resources.json"
    file.write_text(json.dumps(resources), encoding="utf-8")
    command = [needed_program("node"), str(TESTS / "support" / "custom_resources.mjs"), str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_server_accepts_the_resources(overlay: str, version: str) -> None:
    own = [one for one in of_overlay(overlay) if not is_custom(one)]
    assert len(own) >= 14
    found = {(one["kind"], one["metadata"]["name"]): faults(one, version) for one in own}
    assert len(found) == len(own)
    assert not {name: fault for name, fault in found.items() if fault}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_schemas_find_a_fault(version: str) -> None:
    [deployment, *_] = [one for one in of_overlay("cpu") if one["kind"] == "Deployment"]
    broken = copy.deepcopy(deployment)
    broken["spec"]["template"]["spec"]["enableServiceLink"] = False
    assert "enableServiceLink" in faults(broken, version)


@pytest.mark.parametrize("folder", FOLDERS)
def test_operators_accept_their_resources(folder: str, tmp_path: Path) -> None:
    custom = [one for one in rendered(folder) if is_custom(one)]
    kinds = {one["kind"] for one in custom}
    assert kinds == (
        {"HTTPRoute"}
        if folder == "gateway"
        else {"ScaledObject", "TriggerAuthentication", "PodMonitor"}
    )
    assert custom_faults(custom, tmp_path) == ""


def test_the_types_find_faults(tmp_path: Path) -> None:
    [scaled] = [one for one in of_overlay("cpu") if one["kind"] == "ScaledObject"]
    misspelt, wrong = copy.deepcopy(scaled), copy.deepcopy(scaled)
    misspelt["spec"]["pollInterval"] = misspelt["spec"].pop("pollingInterval")
    wrong["spec"]["minReplicaCount"] = "one"
    found = custom_faults([misspelt, wrong], tmp_path).splitlines()
    assert len(found) == 2
    assert "unknown field pollInterval" in found[0]
    assert "minReplicaCount must be integer" in found[1]


@pytest.mark.parametrize("file", sorted(FOLDER.rglob("kustomization.yaml")), ids=str)
def test_old_versions_of_kubectl_can_read_a_kustomization(file: Path) -> None:
    kustomization = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert set(kustomization) <= OLD_FIELDS
    assert all((file.parent / name).is_file() for name in kustomization.get("resources", ()))
    for generator in kustomization.get("configMapGenerator", ()):
        assert set(generator) <= {"name", "behavior", "env"}


def test_every_file_is_used() -> None:
    used = set()
    for file in FOLDER.rglob("kustomization.yaml"):
        kustomization = yaml.safe_load(file.read_text(encoding="utf-8"))
        names = [file.name]
        names += kustomization.get("resources", ())
        names += kustomization.get("patchesStrategicMerge", ())
        names += [patch["path"] for patch in kustomization.get("patchesJson6902", ())]
        names += [one["env"] for one in kustomization.get("configMapGenerator", ())]
        used |= {file.parent / name for name in names}
    assert {file for file in FOLDER.rglob("*") if file.is_file()} == used
