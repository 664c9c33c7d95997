"""A node of a Redis Cluster is reported in one line: at the start, and later in the logs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from tests.support.pictures import scene_file
from tests.support.redis_server import RedisServer, server_binaries
from tests.support.service import Role, Service, running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(120)]

SLOTS = 16384
LINE = "names a node of a Redis Cluster"


@contextmanager
def cluster(folder: Path, nodes: int) -> Iterator[list[RedisServer]]:
    """Run nodes that know each other, without slots."""
    servers = []
    try:
        for number in range(nodes):
            place = folder / f"node-{number}"
            place.mkdir()
            server = RedisServer(
                server_binaries()["valkey"], place, "--cluster-enabled", "yes",
                "--cluster-require-full-coverage", "no",
            )  # fmt: skip
            server.start()
            servers.append(server)
        first = servers[0]
        for other in servers[1:]:
            with Redis.from_url(first.url) as client:
                client.execute_command(f"CLUSTER MEET 127.0.0.1 {other.port}")
        yield servers
    finally:
        for server in servers:
            server.stop()


def give(server: RedisServer, first: int, last: int) -> None:
    """Assign slots to a node."""
    with Redis.from_url(server.url) as client:
        client.execute_command(f"CLUSTER ADDSLOTSRANGE {first} {last}")


def response(server: RedisServer) -> str:
    """Return the response of a node to a command with one of our keys."""
    with Redis.from_url(server.url) as client:
        try:
            client.exists("{plates}:images")
        except RedisError as error:
            return type(error).__name__
    return "ok"


def slot(server: RedisServer) -> int:
    with Redis.from_url(server.url) as client:
        return int(client.execute_command("CLUSTER KEYSLOT {plates}"))


def refused(role: Role) -> tuple[int, str]:
    role.start()
    return role.wait(), role.log


@pytest.mark.parametrize("state", ["MOVED", "CLUSTERDOWN"])
def test_each_role_reports_it_and_ends(state: str, tmp_path: Path) -> None:
    with cluster(tmp_path, 2) as (named, other):
        if state == "MOVED":
            middle = slot(named)
            give(other, middle, middle)
            give(named, 0, 10)
            wait_until(lambda: response(named) == "MovedError", 30, "the nodes to know each other")
        service = Service(named.url, tmp_path, MODEL_PATH="stand-in:1")
        for name in ("producer", "worker", "dispatcher"):
            environment = {**service._environment, "METRICS_PORT": "0"}
            status, log = refused(Role(name, environment, tmp_path))
            assert status == 2, log
            assert len(log.strip().splitlines()) == 1, log
            assert LINE in log
            assert state in log


def test_a_node_that_loses_our_keys_later_is_reported(tmp_path: Path) -> None:
    with cluster(tmp_path, 1) as [node]:
        give(node, 0, SLOTS - 1)
        wait_until(lambda: response(node) == "ok", 30, "the node to have its slots")
        settings = {"MODEL_PATH": "stand-in:1"}
        with running(node.url, tmp_path, "producer", "worker", "dispatcher", **settings) as service:
            # One node that has all keys is as good as a single primary.
            task = service.submit(("a.jpg", scene_file(width=96)))
            assert service.wait_final(task)["status"] == "completed"
            with Redis.from_url(node.url) as client:
                client.execute_command(f"CLUSTER DELSLOTSRANGE 0 {SLOTS - 1}")
            for name in ("worker", "dispatcher"):
                role = service.roles[name]
                wait_until(lambda r=role: LINE in r.log, 30, lambda: service.logs)
                assert role.is_running
                assert "Traceback" not in role.log
            give(node, 0, SLOTS - 1)
            wait_until(lambda: response(node) == "ok", 30, "the node to have its slots")
            task = service.submit(("a.jpg", scene_file(width=96)))
            assert service.wait_final(task)["status"] == "completed"
