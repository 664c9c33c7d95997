"""The resources of deploy/kubernetes, as kubectl renders them."""

import subprocess
from functools import cache
from typing import Any

import yaml

from schemas.settings.misspelled import SETTINGS
from schemas.storage.s3 import S3_VARIABLES
from tests.support.programs import needed_program
from tests.support.tables import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = tuple(sorted(folder.name for folder in (FOLDER / "overlays").iterdir()))
ROLES = ("producer", "worker", "dispatcher")
PROXY_VARIABLES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})
KNOWN_VARIABLES = SETTINGS | set(S3_VARIABLES) | PROXY_VARIABLES

Resource = dict[str, Any]


@cache
def rendered(folder: str) -> tuple[Resource, ...]:
    """Return the resources of a folder below deploy/kubernetes; do not change them."""
    command = [needed_program("kubectl"), "kustomize", str(FOLDER / folder)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert shown.returncode == 0, shown.stderr
    return tuple(resource for resource in yaml.safe_load_all(shown.stdout) if resource)


def of_overlay(overlay: str) -> tuple[Resource, ...]:
    """Return the resources of an overlay."""
    return rendered(f"overlays/{overlay}")


def of_kind(overlay: str, kind: str) -> dict[str, Resource]:
    """Return the resources of one kind by name."""
    found = (one for one in of_overlay(overlay) if one["kind"] == kind)
    return {one["metadata"]["name"]: one for one in found}


def the(overlay: str, kind: str, role: str) -> Resource:
    """Return the resource of a kind that belongs to a role."""
    return of_kind(overlay, kind)[f"plate-detect-{role}"]


def pod(overlay: str, role: str) -> Resource:
    """Return the specification of the pods of a role."""
    spec: Resource = the(overlay, "Deployment", role)["spec"]["template"]["spec"]
    return spec


def container(overlay: str, role: str) -> Resource:
    """Return the only container of a role."""
    [found] = pod(overlay, role)["containers"]
    return dict(found)


def shared_settings(overlay: str) -> dict[str, str]:
    """Return the settings of all roles."""
    [found] = of_kind(overlay, "ConfigMap").values()
    return dict(found["data"])


def environment(overlay: str, role: str) -> dict[str, str]:
    """Return the variables of a role that are no secrets."""
    own = {one["name"]: one["value"] for one in container(overlay, role)["env"] if "value" in one}
    return shared_settings(overlay) | own


def secrets(overlay: str, role: str) -> dict[str, Resource]:
    """Return the reference of each variable of a role that is a secret."""
    env = container(overlay, role)["env"]
    return {one["name"]: one["valueFrom"]["secretKeyRef"] for one in env if one.get("valueFrom")}


def seconds_before_kill(overlay: str, role: str) -> tuple[float, float]:
    """Return the time until SIGTERM (preStop), and from there until SIGKILL."""
    hook = container(overlay, role).get("lifecycle", {}).get("preStop")
    before = 0.0
    if hook:
        program = hook["exec"]["command"][-1]
        before = float(program.partition("time.sleep(")[2].partition(")")[0])
    return before, pod(overlay, role)["terminationGracePeriodSeconds"] - before
