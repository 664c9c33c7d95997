"""A real Redis Cluster: work goes on while its slot is moved, and after its primary has died."""

from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import requests
from redis import Redis
from redis.exceptions import RedisError
from typer.testing import CliRunner

from cli.main import app
from tests.support.pictures import scene_file
from tests.support.receiver import Receiver, receiving
from tests.support.redis_cluster import SLOTS, ClusterNode, RedisCluster, running_cluster
from tests.support.redis_server import server_binaries
from tests.support.service import Role, Service, running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(120)]

TASKS, IMAGES = 8, 3
ROLES = ("producer", "worker", "dispatcher")
LINE = "names a node of a Redis Cluster"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[RedisCluster]:
    """Three primaries, of Redis where it is installed: the other tests use Valkey."""
    found = server_binaries()
    with running_cluster(found.get("redis", found["valkey"]), tmp_path, 3) as cluster:
        cluster.share(3)
        yield cluster


def work(cluster: RedisCluster, receiver: Receiver) -> dict[str, str]:
    """Settings of a service with work that takes some seconds."""
    return {
        "REDIS_CLUSTER_NODES": cluster.addresses, "MODEL_PATH": "stand-in:400",
        "PROCESSING_BATCH_SIZE": "1", "MAX_IMAGES_IN_HAND": "2",
        "BACKEND_CALLBACK_URL": f"{receiver.url}/callback",
        "WEBHOOK_RETRY_SECONDS": "0.2", "SWEEP_INTERVAL_SECONDS": "0.5",
    }  # fmt: skip


def pictures(seed: int) -> list[tuple[str, bytes]]:
    return [(f"{seed}-{number}.jpg", scene_file(number, width=96)) for number in range(IMAGES)]


def ended(service: Service, tasks: list[str]) -> int:
    """Return how many tasks have ended; 0 while they cannot be read."""
    states = []
    for task_id in tasks:
        answer = requests.get(f"{service.url}/api/v1/task-status/{task_id}", timeout=30)
        assert answer.status_code in (200, 503), answer.text
        if answer.status_code == 503:
            return 0
        states.append(answer.json()["status"])
    return sum(state in ("completed", "failed") for state in states)


def check(node: ClusterNode, service: Service, receiver: Receiver, tasks: list[str]) -> None:
    """Check that every image has a result, and every task one event and one webhook."""
    for task_id in tasks:
        state: Any = service.status(task_id)
        assert (state["status"], state["errors"]) == ("completed", []), service.logs
        assert len({result["filename"] for result in state["results"]}) == IMAGES
    with Redis.from_url(node.url) as redis:
        reported = [fields[b"task_id"].decode() for _, fields in redis.xrange("{plates}:events")]
        assert sorted(reported) == sorted(tasks)
        assert redis.xlen("{plates}:dead-letters") == 0
        wait_until(lambda: redis.xlen("{plates}:images") == 0, 10, "an empty stream")

    def delivered() -> bool:
        return {body["task_id"] for _, body in receiver.callbacks} == set(tasks)

    wait_until(delivered, 30, lambda: service.logs)
    ids = {(webhook_id, body["task_id"]) for webhook_id, body in receiver.callbacks}
    assert len(ids) == len(tasks), "a repeated webhook has the same id"
    assert "Traceback" not in service.logs
    for role in service.roles.values():
        assert role.terminate() == 0


def test_work_goes_on_while_the_slot_is_moved(cluster: RedisCluster, tmp_path: Path) -> None:
    source = cluster.owner
    target = next(node for node in cluster.nodes if node is not source)
    with receiving() as receiver, running(
        "", tmp_path, *ROLES, "worker-2", **work(cluster, receiver)
    ) as service:  # fmt: skip
        tasks = [service.submit(*pictures(number)) for number in range(TASKS)]
        wait_until(lambda: ended(service, tasks) > 0, 60, lambda: service.logs)
        cluster.begin_move(source, target)
        # Half of the keys are on each node, for longer than a blocked read waits.
        keys = int(source.run("CLUSTER COUNTKEYSINSLOT", cluster.slot))
        assert cluster.move_keys(source, target, most=keys // 2)
        began = monotonic()
        wait_until(lambda: monotonic() - began > 2, 10, "two seconds")
        cluster.end_move(source, target)
        assert ended(service, tasks) < TASKS, "the slot must move in the middle of work"
        wait_until(lambda: ended(service, tasks) == TASKS, 60, lambda: service.logs)
        # Again, whole, while no work is left and all reads are blocked.
        cluster.begin_move(target, source)
        cluster.end_move(target, source)
        assert cluster.owner is source
        wait_until(lambda: ended(service, tasks) == TASKS, 30, lambda: service.logs)
        tasks.append(service.submit(*pictures(TASKS)))
        assert service.wait_final(tasks[-1])["status"] == "completed"
        check(source, service, receiver, tasks)


def test_work_goes_on_with_the_new_primary(tmp_path: Path) -> None:
    with running_cluster(server_binaries()["valkey"], tmp_path, 4) as cluster:
        cluster.share(3)
        source, replica = cluster.owner, cluster.nodes[3]
        replica.run("CLUSTER REPLICATE", source.id)
        wait_until(lambda: in_sync(replica), 30, "the replica to be in sync")
        with receiving() as receiver, running(
            "", tmp_path, *ROLES, **work(cluster, receiver)
        ) as service:  # fmt: skip
            tasks = [service.submit(*pictures(number)) for number in range(2)]
            wait_until(lambda: ended(service, tasks) == 2, 60, lambda: service.logs)
            with Redis.from_url(source.url) as redis:
                assert redis.wait(1, 5000) == 1
            source.kill()
            wait_until(lambda: cluster.owner is replica, 30, "the failover")
            wait_until(lambda: ended(service, tasks) == 2, 30, lambda: service.logs)
            tasks.append(service.submit(*pictures(2)))
            assert service.wait_final(tasks[-1])["status"] == "completed"
            check(replica, service, receiver, tasks)


def in_sync(replica: ClusterNode) -> bool:
    with Redis.from_url(replica.url) as redis:
        state: Any = redis.info("replication")
        return (state["role"], state.get("master_link_status")) == ("slave", "up")


@pytest.mark.parametrize("state", ["MOVED", "CLUSTERDOWN"])
def test_a_node_in_place_of_a_server_is_reported(state: str, tmp_path: Path) -> None:
    with running_cluster(server_binaries()["valkey"], tmp_path, 2) as cluster:
        named, other = cluster.nodes
        if state == "MOVED":
            other.give(cluster.slot, cluster.slot)
            named.give(0, 10)
            wait_until(lambda: response(named) == "MovedError", 30, "the nodes to know each other")
        service = Service(named.url, tmp_path, MODEL_PATH="stand-in:1")
        for name in ROLES:
            environment = {**service._environment, "METRICS_PORT": "0"}
            role = Role(name, environment, tmp_path)
            role.start()
            assert role.wait() == 2, role.log
            assert len(role.log.strip().splitlines()) == 1, role.log
            assert LINE in role.log
            assert state in role.log
            assert "set REDIS_CLUSTER_NODES" in role.log
        done = CliRunner().invoke(app, ["doctor", "redis"], env={"REDIS_URL": named.url})
        assert done.exit_code == 1
        assert LINE in done.output


def test_a_node_that_loses_our_keys_later_is_reported(tmp_path: Path) -> None:
    with running_cluster(server_binaries()["valkey"], tmp_path, 1) as cluster:
        cluster.share(1)
        [node] = cluster.nodes
        with running(node.url, tmp_path, *ROLES, MODEL_PATH="stand-in:1") as service:
            # One node that has all keys serves like a single server.
            task = service.submit(("a.jpg", scene_file(width=96)))
            assert service.wait_final(task)["status"] == "completed"
            node.run("CLUSTER DELSLOTSRANGE", 0, SLOTS - 1)
            for name in ("worker", "dispatcher"):
                role = service.roles[name]
                wait_until(lambda r=role: LINE in r.log, 30, lambda: service.logs)
                assert role.is_running
                assert "Traceback" not in role.log
            cluster.share(1)
            task = service.submit(("a.jpg", scene_file(width=96)))
            assert service.wait_final(task)["status"] == "completed"


def response(node: ClusterNode) -> str:
    """Return the response to a command with one of the service's keys."""
    try:
        node.run("EXISTS", "{plates}:images")
    except RedisError as error:
        return type(error).__name__
    return "ok"
