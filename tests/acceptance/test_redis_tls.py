"""Redis behind TLS, with a client certificate and only the documented rights."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from redis import Redis
from redis.exceptions import NoPermissionError

from tests.support.access import PASSWORD, USER, documented_rules
from tests.support.certificates import Certificates, make_certificates
from tests.support.cpu import cpu_shares
from tests.support.pictures import scene_file
from tests.support.receiver import Receiver, receiving
from tests.support.redis_server import NEEDS_TLS_SERVER, TlsServer, server_binaries
from tests.support.service import Service, running, wait_until

REDIS = server_binaries().get("redis")
pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.timeout(120), *NEEDS_TLS_SERVER]

ROLES = ("producer", "worker", "dispatcher")
WATCHED_SECONDS = 4.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def server(files: Certificates, tmp_path: Path) -> Iterator[TlsServer]:
    assert REDIS is not None
    server = TlsServer(REDIS, tmp_path, certificates=files, rule=documented_rules()[USER])
    server.start()
    yield server
    server.stop()


def access(files: Certificates, **others: str) -> dict[str, str]:
    return {
        "REDIS_USERNAME": USER, "REDIS_PASSWORD": PASSWORD, "REDIS_CA_FILE": str(files.ca),
        "REDIS_CERT_FILE": str(files.client), "REDIS_KEY_FILE": str(files.client_key), **others,
    }  # fmt: skip


def test_the_documented_rights_are_enough_and_not_more(
    server: TlsServer, files: Certificates, tmp_path: Path
) -> None:
    with receiving() as receiver, Redis.from_url(server.url) as admin:
        admin.acl_log_reset()
        with running(
            server.address, tmp_path, *ROLES, "worker-2", **access(files),
            MODEL_PATH="stand-in:300", SWEEP_INTERVAL_SECONDS="0.3", CONSUMER_IDLE_SECONDS="1",
            BACKEND_CALLBACK_URL=f"{receiver.url}/callback", PYTHONWARNINGS="default",
        ) as service:  # fmt: skip
            use_everything(service, admin, receiver)
            wait_until(lambda: len(receiver.callbacks) == 5, 30, lambda: service.logs)
            cli = subprocess.run(
                [sys.executable, "-m", "cli", "dead-letters", "purge", "--all"],
                env=service._environment, cwd=tmp_path, capture_output=True, text=True, timeout=60,
                check=False,
            )  # fmt: skip
            assert cli.returncode == 0, cli.stderr
            assert admin.xlen("{plates}:dead-letters") == 0
            for name in ROLES:
                assert service.roles[name].terminate() == 0
            assert "NOPERM" not in service.logs
            assert "ResourceWarning" not in service.logs
        used = set(admin.info("commandstats"))
        rights = {word[1:] for word in documented_rules()[USER] if word.startswith("+")}
        assert {right for right in rights if f"cmdstat_{right}" not in used} == set()
        denied = [
            row for row in admin.acl_log()
            # redis-py introduces itself and does not mind a refusal.
            if not row["object"].startswith("client")
        ]  # fmt: skip
        assert denied == []
    refused(server, files)


def use_everything(service: Service, admin: Redis, receiver: Receiver) -> None:
    """Run each kind of step once: work, redelivery, deletion, dead letter, lost entries."""
    first = service.submit(*[(f"{number}.jpg", scene_file(0)) for number in range(6)])
    wait_until(lambda: service.status(first)["status"] == "processing", 30, lambda: service.logs)
    service.roles["worker-2"].kill()
    admin.xadd("{plates}:images", {"v": 1, "task_id": "?"})
    key = {"Idempotency-Key": "one"}
    for _ in range(2):
        answer = requests.post(
            f"{service.url}/api/v1/process-task/", headers=key, timeout=30,
            files=[("files", ("a.jpg", scene_file(1)))],
        )  # fmt: skip
        assert answer.status_code == 202, answer.text
    assert (
        "plate_redis_memory_used_bytes" in requests.get(f"{service.url}/metrics", timeout=30).text
    )
    assert service.wait_final(first)["status"] == "completed"
    assert service.wait_final(answer.json()["task_id"])["status"] == "completed"
    watched_to_its_end(service)
    service.roles["worker"].kill()
    lost = service.submit(("lost.jpg", scene_file(2)))
    admin.delete("{plates}:images")
    service.start("worker")
    assert service.wait_final(lost)["status"] == "completed", service.logs
    wait_until(  # a deletion would cancel it
        lambda: lost in [body["task_id"] for _, body in receiver.callbacks], 30,
        lambda: f"the callback\n{service.logs}",
    )  # fmt: skip
    assert requests.delete(f"{service.url}/api/v1/tasks/{lost}", timeout=30).status_code == 204
    admin.xgroup_setid("{plates}:images", "workers", "9999999999999-0")
    skipped = service.submit(("skipped.jpg", scene_file(3)))
    assert service.wait_final(skipped)["status"] == "completed", service.logs
    members = "{plates}:images", "workers"
    wait_until(  # the living one may go, too: it has nothing to do, and comes with the next image
        lambda: len(admin.xinfo_consumers(*members)) <= 1, 30,
        lambda: f"silent consumers to go: {admin.xinfo_consumers(*members)}\n{service.logs}",
    )  # fmt: skip


def watched_to_its_end(service: Service) -> None:
    url = f"{service.url}/api/v1/task-events/{service.submit(('watched.jpg', scene_file(3)))}"
    with requests.get(url, stream=True, timeout=30) as events:
        assert b"event: end" in events.raw.read()


def refused(server: TlsServer, files: Certificates) -> None:
    """Check what the user may not do."""
    with Redis.from_url(
        server.address, username=USER, password=PASSWORD, ssl_ca_certs=str(files.ca),
        ssl_certfile=str(files.client), ssl_keyfile=str(files.client_key),
    ) as user:  # fmt: skip
        for command in (
            ["HGETALL", "somebody:else"], ["KEYS", "*"], ["FLUSHALL"], ["CONFIG", "GET", "*"],
            ["CLIENT", "LIST"], ["ACL", "LIST"], ["SHUTDOWN"], ["EVAL", "return 1", "0"],
        ):  # fmt: skip
            with pytest.raises(NoPermissionError):
                user.execute_command(*command)


@pytest.mark.parametrize("wrong", ["password", "authority"])
def test_wrong_access_is_reported_and_retried(
    server: TlsServer, files: Certificates, tmp_path: Path, wrong: str
) -> None:
    if wrong == "password":
        settings, said = access(files, REDIS_PASSWORD="guessed"), "WRONGPASS|invalid username"
    else:
        folder = tmp_path / "others"
        folder.mkdir()
        other = make_certificates(folder)
        settings, said = access(files, REDIS_CA_FILE=str(other.ca)), "CERTIFICATE_VERIFY_FAILED"
    service = Service(server.address, tmp_path, **settings, MODEL_PATH="stand-in:1")
    try:
        service.start_unready(*ROLES)
        wait_until(lambda: asked(service), 60, lambda: service.logs)
        for name in ROLES:
            role = service.roles[name]
            wait_until(lambda role=role: re.search(said, role.log), 60, lambda: service.logs)
        assert "guessed" not in service.logs
        lines = {name: service.roles[name].log.count("\n") for name in ROLES}
        pids = {name: service.roles[name].pid for name in ROLES}
        for name, share in cpu_shares(pids, WATCHED_SECONDS).items():
            assert share < 0.2
            assert service.roles[name].log.count("\n") - lines[name] <= 4 * WATCHED_SECONDS
        for name in ROLES:
            assert service.roles[name].terminate() == 0
    finally:
        service.stop()


def asked(service: Service) -> bool:
    """Whether the producer reports that it is not ready; it connects to Redis only on a request."""
    try:
        answer = requests.get(f"{service.url}/ready", timeout=10)
    except requests.RequestException:
        return False
    assert answer.status_code == 503
    return "Redis cannot be reached" in answer.text
