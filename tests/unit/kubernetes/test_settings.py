"""The settings in the files for Kubernetes exist, are accepted, and hold no secret."""

import re

import pytest

from cli.settings_table import MODELS
from schemas.settings.misspelled import SECURITY
from tests.support.kubernetes import (
    KNOWN_VARIABLES,
    OVERLAYS,
    ROLES,
    container,
    environment,
    of_kind,
    pod,
    secrets,
    shared_settings,
)
from tests.support.tables import ROOT

EACH = [(overlay, role) for overlay in OVERLAYS for role in ROLES]
each_workload = pytest.mark.parametrize(("overlay", "role"), EACH)


@each_workload
def test_every_variable_is_a_setting(overlay: str, role: str) -> None:
    names = set(environment(overlay, role)) | set(secrets(overlay, role))
    assert names <= KNOWN_VARIABLES
    env = container(overlay, role)["env"]
    assert {one["name"] for one in env} <= names, "each has a value or is a secret"


@each_workload
def test_the_role_accepts_its_settings(
    overlay: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = environment(overlay, role) | {
        "REDIS_USERNAME": "plates", "REDIS_PASSWORD": "hunter2", "API_KEYS": "k" * 16,
        "WEBHOOK_SECRET": "whsec_" + "aHVudGVyMg==" * 4,
    }  # fmt: skip
    for name in (*environment(overlay, role), *secrets(overlay, role)):
        if name in variables:
            monkeypatch.setenv(name, variables[name])
    settings = MODELS[role].load()
    assert settings.misspelled == ()
    assert settings.redis_host == variables["REDIS_HOST"]
    assert settings.storage_url == variables["TASKS_STORAGE_URL"]


@each_workload
def test_a_role_has_only_the_secrets_that_it_needs(overlay: str, role: str) -> None:
    own = {"producer": {"API_KEYS"}, "worker": set(), "dispatcher": {"WEBHOOK_SECRET"}}[role]
    found = secrets(overlay, role)
    assert set(found) == own | {
        "REDIS_USERNAME", "REDIS_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
    }  # fmt: skip
    assert all(reference["key"] == name for name, reference in found.items())
    optional = {name for name, reference in found.items() if reference.get("optional")}
    assert optional == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_secret_is_among_the_shared_settings(overlay: str) -> None:
    names = set(shared_settings(overlay))
    assert not names & (set(SECURITY) - {"REDIS_TLS"})
    assert not [name for name in names if re.search("PASSWORD|SECRET|KEYS|ACCESS_KEY", name)]
    assert not [value for value in shared_settings(overlay).values() if "@" in value]


@each_workload
def test_a_changed_setting_restarts_the_pods(overlay: str, role: str) -> None:
    [name] = of_kind(overlay, "ConfigMap")
    assert re.fullmatch(r"plate-detect-settings-[a-z0-9]{10}", name)
    [source] = container(overlay, role)["envFrom"]
    assert source == {"configMapRef": {"name": name}}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_role_finds_redis_and_a_bucket(overlay: str) -> None:
    shared = shared_settings(overlay)
    # KEDA reads the address, too, and resolves it in another namespace.
    assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", shared["REDIS_HOST"])
    assert shared["TASKS_STORAGE_URL"].startswith("s3://")
    assert shared["HOST"] == "::", "a cluster may have only IPv6"
    assert shared["WEBHOOK_PROXY"] == "env"


def test_services_beside_each_other_share_nothing() -> None:
    first, second = shared_settings("cpu"), shared_settings("second-redis")
    for name in ("REDIS_HOST", "KEY_PREFIX", "TASKS_STORAGE_URL", "PUBLIC_URL"):
        assert first[name] != second[name]
    folders = [f"{one['TASKS_STORAGE_URL']}/" for one in (first, second)]
    assert not folders[0].startswith(folders[1])
    assert not folders[1].startswith(folders[0])
    namespaces = [
        {one["metadata"]["namespace"] for one in of_kind(overlay, "Deployment").values()}
        for overlay in ("cpu", "second-redis")
    ]
    assert namespaces == [{"plates"}, {"plates-2"}]


def test_the_readme_makes_every_secret() -> None:
    text = (ROOT / "deploy" / "README.md").read_text(encoding="utf-8")
    made: set[tuple[str, str]] = set()
    for name, rest in re.findall(
        r"create secret generic (\S+)((?: \\\n.*|\s+--from-literal=\S+)*)", text
    ):
        made |= {(name, key) for key in re.findall(r"--from-literal=([A-Z_]+)=", rest)}
    needed = {
        (reference["name"], name)
        for role in ROLES for name, reference in secrets("cpu", role).items()
    }  # fmt: skip
    assert made == needed


@each_workload
def test_the_account_of_a_pod_may_have_a_role_in_the_cloud(overlay: str, role: str) -> None:
    assert pod(overlay, role)["serviceAccountName"] == "plate-detect"
