"""Sentinel and servers that speak only TLS, with passwords and client certificates."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import requests
from redis import Redis

from tests.support.certificates import Certificates, make_certificates
from tests.support.pictures import scene_file
from tests.support.redis_server import (
    NEEDS_TLS_SERVER,
    RedisServer,
    SentinelServer,
    TlsSentinelServer,
    TlsServer,
    server_binaries,
)
from tests.support.service import Service, running, wait_until

REDIS = server_binaries().get("redis")
pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(120), *NEEDS_TLS_SERVER]


@pytest.fixture
def files(tmp_path: Path) -> Certificates:
    folder = tmp_path / "certificates"
    folder.mkdir()
    return make_certificates(folder)


@pytest.fixture
def servers(files: Certificates, tmp_path: Path) -> Iterator[tuple[RedisServer, ...]]:
    """A master, its replica and a Sentinel."""
    assert REDIS is not None
    with ExitStack() as stack:

        def folder(name: str) -> Path:
            path = tmp_path / name
            path.mkdir()
            return path

        def started(server: RedisServer) -> RedisServer:
            stack.callback(server.kill)
            server.start()
            return server

        master = started(TlsServer(REDIS, folder("master"), certificates=files))
        replica = started(TlsServer(
            REDIS, folder("replica"), "--replicaof", "127.0.0.1", str(master.port),
            certificates=files,
        ))  # fmt: skip
        sentinel = started(
            TlsSentinelServer(REDIS, folder("sentinel"), master.port, certificates=files)
        )

        def knows_the_replica() -> bool:
            with Redis.from_url(sentinel.url) as redis:
                state: Any = redis.sentinel_master(SentinelServer.MASTER)
                return bool(state["num-slaves"] == 1)

        wait_until(knows_the_replica, 30, "the Sentinel to find the replica")
        yield master, replica, sentinel


def test_a_failover_behind_tls(
    servers: tuple[RedisServer, ...], files: Certificates, tmp_path: Path
) -> None:
    master, replica, sentinel = servers
    with running(
        "", tmp_path, "worker", "dispatcher", "producer", MODEL_PATH="stand-in:50",
        REDIS_SENTINELS=f"127.0.0.1:{sentinel.port}", REDIS_SENTINEL_MASTER=SentinelServer.MASTER,
        REDIS_SENTINEL_PASSWORD=TlsSentinelServer.PASSWORD, REDIS_TLS="true",
        REDIS_CA_FILE=str(files.ca), REDIS_CERT_FILE=str(files.client),
        REDIS_KEY_FILE=str(files.client_key),
    ) as service:  # fmt: skip
        first = service.submit(("a.jpg", scene_file(0)))
        assert service.wait_final(first)["status"] == "completed"
        with Redis.from_url(master.url) as redis:
            redis.set("mark", 1)
            assert redis.wait(1, 5000) == 1
        master.kill()
        wait_until(lambda: taken(service), 40, lambda: service.logs)
        assert service.status(first)["status"] == "completed"
        with Redis.from_url(replica.url) as redis:
            assert redis.info("replication")["role"] == "master"
        assert TlsSentinelServer.PASSWORD not in service.logs
        for role in service.roles.values():
            assert role.terminate() == 0


def taken(service: Service) -> bool:
    """Whether a new task is accepted and ends."""
    answer = requests.post(
        f"{service.url}/api/v1/process-task/",
        files=[("files", ("late.jpg", scene_file(1)))], timeout=60,
    )  # fmt: skip
    assert answer.status_code in (202, 503), answer.text
    if answer.status_code == 503:
        return False
    return service.wait_final(answer.json()["task_id"])["status"] == "completed"
