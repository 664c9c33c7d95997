"""A real Redis Cluster on loopback, whose slots a test may move."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.crc import key_slot

from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.service import wait_until

SLOTS = 16384
PREFIX = "{plates}"


class ClusterNode(RedisServer):
    """A node of a cluster; a failover starts after a second without response."""

    def __init__(self, binary: str, folder: Path) -> None:
        folder.mkdir()
        self.bus_port = free_port()
        super().__init__(
            binary, folder, "--cluster-enabled", "yes", "--cluster-port", str(self.bus_port),
            "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no",
        )  # fmt: skip

    def run(self, *command: str | int) -> Any:
        """Return the response to a command."""
        with Redis.from_url(self.url) as client:
            return client.execute_command(*command)

    @property
    def id(self) -> str:
        """Name of the node in the cluster."""
        return str(self.run("CLUSTER MYID").decode())

    def give(self, first: int, last: int) -> None:
        """Assign slots that no node has."""
        self.run("CLUSTER ADDSLOTSRANGE", first, last)

    def state(self, name: str) -> str:
        """Return a field of CLUSTER INFO."""
        info = self.run("CLUSTER INFO")
        text = info.decode() if isinstance(info, bytes) else "\n".join(
            f"{key}:{value}" for key, value in info.items()
        )  # fmt: skip
        return dict(line.split(":", 1) for line in text.split())[name]


class RedisCluster:
    """Nodes that know each other, without slots."""

    def __init__(self, nodes: list[ClusterNode]) -> None:
        self.nodes = nodes

    @property
    def addresses(self) -> str:
        """The setting REDIS_CLUSTER_NODES."""
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def slot(self) -> int:
        """The slot of the service's keys."""
        return int(key_slot(PREFIX.encode()))

    def share(self, primaries: int) -> None:
        """Give each of the first nodes its part of the slots, and wait until all know it."""
        for number, node in enumerate(self.nodes[:primaries]):
            node.give(SLOTS * number // primaries, SLOTS * (number + 1) // primaries - 1)
        self.wait_known(SLOTS)

    def wait_known(self, slots: int) -> None:
        """Wait until each node knows the owners of so many slots."""
        for node in self.nodes:
            wait_until(
                lambda n=node: (n.state("cluster_slots_ok"), n.state("cluster_state"))
                == (str(slots), "ok"),
                30, "the nodes to know the slots",
            )  # fmt: skip

    @property
    def owner(self) -> ClusterNode:
        """The node that has the slot of the service's keys."""
        for first, last, primary, *_ in self._slots():
            if first <= self.slot <= last:
                return next(node for node in self.nodes if node.port == primary[1])
        raise AssertionError("no node has the slot")

    def _slots(self) -> list[Any]:
        with Redis.from_url(self.nodes[-1].url) as client:
            client.response_callbacks.clear()
            slots: list[Any] = client.execute_command("CLUSTER", "SLOTS")
            return slots

    def begin_move(self, source: ClusterNode, target: ClusterNode) -> None:
        """Begin to move the slot of the service's keys."""
        target.run("CLUSTER SETSLOT", self.slot, "IMPORTING", source.id)
        source.run("CLUSTER SETSLOT", self.slot, "MIGRATING", target.id)

    def move_keys(self, source: ClusterNode, target: ClusterNode, *, most: int = 1000) -> int:
        """Move so many keys of the slot; return how many there were."""
        keys = source.run("CLUSTER GETKEYSINSLOT", self.slot, most)
        if keys:
            source.run("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)
        return len(keys)

    def end_move(self, source: ClusterNode, target: ClusterNode) -> None:
        """Move what is left, then the slot itself, in the order that redis-cli has."""
        while self.move_keys(source, target):
            pass
        others = [node for node in self.nodes if node not in (source, target)]
        for node in (target, source, *others):
            node.run("CLUSTER SETSLOT", self.slot, "NODE", target.id)


@contextmanager
def running_cluster(binary: str, folder: Path, nodes: int) -> Iterator[RedisCluster]:
    """Run nodes that have met, without slots."""
    servers: list[ClusterNode] = []
    try:
        for number in range(nodes):
            servers.append(ClusterNode(binary, folder / f"node-{number}"))
            servers[-1].start()
        for other in servers[1:]:
            servers[0].run("CLUSTER MEET", "127.0.0.1", other.port, other.bus_port)
        for server in servers:
            wait_until(
                lambda s=server: s.state("cluster_known_nodes") == str(nodes),
                30, "the nodes to meet",
            )  # fmt: skip
        yield RedisCluster(servers)
    finally:
        for server in servers:
            server.stop()
