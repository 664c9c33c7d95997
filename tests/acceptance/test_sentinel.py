"""A failover by Sentinel during work: master, replica and three Sentinels on loopback."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from redis import Redis

from tests.support.pictures import scene_file
from tests.support.receiver import Receiver, receiving
from tests.support.redis_server import RedisServer, SentinelServer, server_binaries
from tests.support.service import Service, running, wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(120)]

TASKS, IMAGES = 8, 3


@dataclass
class Cluster:
    """A master, its replica and three Sentinels."""

    master: RedisServer
    replica: RedisServer
    sentinels: list[SentinelServer]

    @property
    def addresses(self) -> str:
        return ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)

    def known(self) -> bool:
        """Whether each Sentinel has found the replica and the other Sentinels."""
        return all(
            (state["num-slaves"], state["num-other-sentinels"]) == (1, 2)
            for state in map(self._state, self.sentinels)
        )

    def replicate(self) -> None:
        """Wait until the replica has everything that was written so far."""
        with Redis.from_url(self.master.url) as redis:
            redis.set("mark", 1)
            assert redis.wait(1, 5000) == 1

    @staticmethod
    def _state(sentinel: SentinelServer) -> dict[str, Any]:
        with Redis.from_url(sentinel.url) as redis:
            state: dict[str, Any] = redis.sentinel_master(SentinelServer.MASTER)
            return state


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    binary = server_binaries()["valkey"]
    with ExitStack() as stack:

        def started(server: RedisServer) -> None:
            stack.callback(server.kill)
            server.start()

        def folder(name: str) -> Path:
            path = tmp_path / name
            path.mkdir()
            return path

        master = RedisServer(binary, folder("master"))
        started(master)
        replica = RedisServer(
            binary, folder("replica"), "--replicaof", "127.0.0.1", str(master.port)
        )
        started(replica)
        sentinels = [
            SentinelServer(binary, folder(f"sentinel-{number}"), master.port, quorum=2)
            for number in range(3)
        ]
        for sentinel in sentinels:
            started(sentinel)
        cluster = Cluster(master, replica, sentinels)
        wait_until(cluster.known, 30, "the Sentinels to find each other")
        yield cluster


def test_work_goes_on_with_the_new_master(cluster: Cluster, tmp_path: Path) -> None:
    with receiving() as receiver, running(
        "", tmp_path, "worker", "worker-2", "dispatcher", "producer",
        REDIS_SENTINELS=cluster.addresses, REDIS_SENTINEL_MASTER=SentinelServer.MASTER,
        MODEL_PATH="stand-in:600", PROCESSING_BATCH_SIZE="1", MAX_IMAGES_IN_HAND="2",
        BACKEND_CALLBACK_URL=f"{receiver.url}/callback",
        WEBHOOK_RETRY_SECONDS="0.2", SWEEP_INTERVAL_SECONDS="0.5",
    ) as service:  # fmt: skip
        tasks = [service.submit(*pictures(number)) for number in range(TASKS)]
        cluster.replicate()
        done = 0
        while not done:
            done = ended(service, tasks)
        cluster.master.kill()
        assert done < TASKS / 2, "the master must die in the middle of work"
        tasks.append(submit_when_possible(service))
        wait_until(lambda: ended(service, tasks) == len(tasks), 60, lambda: service.logs)
        check(cluster.replica, service, receiver, tasks)
        # For some seconds the old server reports itself as master, too; no client may use it.
        cluster.master.start()
        tasks.append(service.submit(*pictures(99)))
        assert service.wait_final(tasks[-1])["status"] == "completed"
        check(cluster.replica, service, receiver, tasks)
        for role in service.roles.values():
            assert role.terminate() == 0


def check(
    redis_server: RedisServer, service: Service, receiver: Receiver, tasks: list[str]
) -> None:
    """Check that every task has ended once, with one event and one webhook."""
    for task_id in tasks:
        state: Any = service.status(task_id)
        results, errors = state["results"], state["errors"]
        assert len(results) + len(errors) == state["progress"]["total"]
        assert len({result["filename"] for result in results}) == len(results)
        # Written only to the old master: the original was already deleted.
        assert {error["code"] for error in errors} <= {"input_missing"}
    with Redis.from_url(redis_server.url) as redis:
        assert redis.info("replication")["role"] == "master"
        told = [fields[b"task_id"].decode() for _, fields in redis.xrange("{plates}:events")]
        assert sorted(told) == sorted(tasks)
        assert redis.xlen("{plates}:dead-letters") == 0
        wait_until(lambda: redis.xlen("{plates}:images") == 0, 10, "an empty stream")

    def delivered() -> bool:
        return {body["task_id"] for _, body in receiver.callbacks} == set(tasks)

    wait_until(delivered, 30, lambda: service.logs)
    ids = {(webhook_id, body["task_id"]) for webhook_id, body in receiver.callbacks}
    assert len(ids) == len(tasks), "a repeated webhook has the same id"


def pictures(seed: int) -> list[tuple[str, bytes]]:
    return [(f"{seed}-{number}.jpg", scene_file(number)) for number in range(IMAGES)]


def ended(service: Service, tasks: list[str]) -> int:
    """Return how many tasks have ended; 0 while there is no master."""
    states = []
    for task_id in tasks:
        answer = requests.get(f"{service.url}/api/v1/task-status/{task_id}", timeout=30)
        assert answer.status_code in (200, 503), answer.text
        if answer.status_code == 503:
            return 0
        states.append(answer.json()["status"])
    return sum(state in ("completed", "failed") for state in states)


def submit_when_possible(service: Service) -> str:
    """Send a task as a client does that retries after a refusal; return its id."""
    accepted: list[str] = []

    def submitted() -> bool:
        answer = requests.post(
            f"{service.url}/api/v1/process-task/",
            files=[("files", ("late.jpg", scene_file(5)))], timeout=60,
        )  # fmt: skip
        if answer.status_code == 202:
            accepted.append(str(answer.json()["task_id"]))
        else:
            assert answer.status_code == 503, answer.text
            assert "Retry-After" in answer.headers
        return bool(accepted)

    wait_until(submitted, 30, lambda: service.logs)
    return accepted[0]
