"""KEDA counts the images that wait, and network policies let it and the others through."""

import pytest

from schemas.redis.keys import Keys
from tests.support.kubernetes import (
    OVERLAYS,
    ROLES,
    Resource,
    container,
    of_kind,
    shared_settings,
    the,
)

each_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def triggers(overlay: str) -> list[Resource]:
    found: list[Resource] = the(overlay, "ScaledObject", "worker")["spec"]["triggers"]
    return found


@each_overlay
def test_workers_follow_both_streams_of_their_work(overlay: str) -> None:
    keys = Keys(shared_settings(overlay)["KEY_PREFIX"])
    streams = [trigger["metadata"]["stream"] for trigger in triggers(overlay)]
    assert streams == [keys.images, keys.corrections]
    assert {trigger["type"] for trigger in triggers(overlay)} == {"redis-streams"}


@each_overlay
def test_the_length_of_a_stream_is_counted(overlay: str) -> None:
    """A trigger with `consumerGroup` counts pending entries or the lag, whatever else it says."""
    for trigger in triggers(overlay):
        assert int(trigger["metadata"]["streamLength"]) > 0
        assert set(trigger["metadata"]) == {
            "hostFromEnv", "portFromEnv", "enableTLS", "stream", "streamLength",
        }  # fmt: skip


@each_overlay
def test_keda_has_the_redis_of_the_workers(overlay: str) -> None:
    settings = shared_settings(overlay)
    [authentication] = of_kind(overlay, "TriggerAuthentication").values()
    for trigger in triggers(overlay):
        metadata = trigger["metadata"]
        assert {metadata["hostFromEnv"], metadata["portFromEnv"]} == {"REDIS_HOST", "REDIS_PORT"}
        assert {"REDIS_HOST", "REDIS_PORT"} <= set(settings)
        assert metadata["enableTLS"] == settings.get("REDIS_TLS", "false")
        assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]
    references = {one["parameter"]: one for one in authentication["spec"]["secretTargetRef"]}
    env = {one["name"]: one for one in container(overlay, "worker")["env"]}
    for parameter in ("username", "password"):
        used = env[f"REDIS_{parameter.upper()}"]["valueFrom"]["secretKeyRef"]
        assert {"parameter": parameter, **used} == references[parameter]


@each_overlay
def test_the_object_that_is_scaled_exists(overlay: str) -> None:
    spec = the(overlay, "ScaledObject", "worker")["spec"]
    assert spec["scaleTargetRef"]["name"] in of_kind(overlay, "Deployment")
    assert spec["minReplicaCount"] == (0 if overlay == "gpu" else 1)
    # As many workers as the longest backlog asks for would not help any more.
    longest = 10_000 / int(triggers(overlay)[0]["metadata"]["streamLength"])
    assert spec["minReplicaCount"] < spec["maxReplicaCount"] <= longest


def policies(overlay: str, role: str) -> list[Resource]:
    """Return the policies that select the pods of a role."""
    deployment = the(overlay, "Deployment", role)
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    found = [one["spec"] for one in of_kind(overlay, "NetworkPolicy").values()]
    return [one for one in found if one["podSelector"]["matchLabels"].items() <= labels]


def ports(overlay: str, role: str, direction: str) -> set[int | str]:
    rules = [rule for one in policies(overlay, role) for rule in one.get(direction, ())]
    assert all(rule.get("ports") for rule in rules), "a rule without ports allows all of them"
    return {port["port"] for rule in rules for port in rule["ports"]}


@pytest.mark.parametrize("role", ROLES)
@each_overlay
def test_nothing_reaches_a_pod_but_requests_and_prometheus(overlay: str, role: str) -> None:
    kinds = {kind for one in policies(overlay, role) for kind in one["policyTypes"]}
    assert kinds == {"Ingress", "Egress"}, "what no rule allows is forbidden"
    [port] = container(overlay, role)["ports"]
    # A name that the pod does not have selects nothing.
    assert ports(overlay, role, "ingress") == {"http", "metrics"}
    assert port["name"] in ("http", "metrics")
    admitted = [
        source
        for one in policies(overlay, role)
        for rule in one.get("ingress", ())
        if any(each["port"] == port["name"] for each in rule["ports"])
        for source in rule["from"]
    ]
    expected = [{"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}]
    expected += [{}] if role == "producer" else []
    assert sorted((one["namespaceSelector"] for one in admitted), key=str) == sorted(
        expected, key=str
    )


@pytest.mark.parametrize("role", ROLES)
@each_overlay
def test_a_pod_reaches_names_redis_and_the_bucket(overlay: str, role: str) -> None:
    redis = int(shared_settings(overlay)["REDIS_PORT"])
    expected = {53, redis, 26379, 443} | ({80, 8080} if role == "dispatcher" else set())
    assert ports(overlay, role, "egress") == expected


@each_overlay
def test_no_webhook_reaches_the_credentials_of_the_cloud(overlay: str) -> None:
    spec = of_kind(overlay, "NetworkPolicy")["plate-detect-dispatcher"]["spec"]
    blocks = [one["ipBlock"] for rule in spec["egress"] for one in rule["to"] if "ipBlock" in one]
    excepted = {block["cidr"]: block["except"] for block in blocks}
    assert excepted == {"0.0.0.0/0": ["169.254.0.0/16"], "::/0": ["fd00:ec2::254/128"]}
