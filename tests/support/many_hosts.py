"""The service on many hosts of a network, as in production: see `ManyHosts`."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import requests
from redis import Redis
from redis.exceptions import RedisError

from tests.support.documents import OPERATING
from tests.support.hosts import Network
from tests.support.programs import needed_program
from tests.support.receiver import Receiver, receiving
from tests.support.redis_server import RedisServer, SentinelServer
from tests.support.service import ROOT, START_TIMEOUT_SECONDS, Role, wait_until

ROLES = {
    "a": ("producer-1", "worker-1", "dispatcher-1"),
    "b": ("producer-2", "worker-2", "dispatcher-2"),
    "c": ("worker-3",),
}
"""Roles by host."""

HOSTS = ("test", "front", "s3", "redis-1", "redis-2", *ROLES)
BUCKET = "plates"
PRODUCER_PORT, NGINX_PORT, S3_PORT, CONTROL_PORT, MOTO_PORT = 8000, 80, 9000, 9001, 9002

_DOWN_AFTER_MS = 5000
"""Longer than a busy machine keeps a server from responding: a failover that the test did not cause
would lose what it has just been told is accepted."""

_NGINX = """\
daemon off;
pid nginx.pid;
error_log stderr;
user root;
events {{}}
http {{
    access_log off;
    {temporary}
    {upstream}
    server {{
        listen {port};
        {location}
    }}
}}
"""


class ManyHosts:
    """Redis with a replica and three Sentinels, S3, two producers behind nginx, three workers, two
    dispatchers. No host but `test`, where the test itself is with its receiver, has all of it.
    """

    def __init__(self, made: Network, folder: Path, binary: str, stack: ExitStack) -> None:
        self.network = made
        self._folder = folder
        self._stack = stack
        self._addresses = {name: host.address for name, host in made.hosts.items()}
        self.receiver: Receiver = stack.enter_context(receiving(address=self._addresses["test"]))
        self.redis_servers = self._start_redis(binary)
        self._sentinels = self._start_sentinels(binary)
        self._start_storage()
        self.roles = self._start_roles()
        self._start_nginx()

    @property
    def url(self) -> str:
        """Address of both producers."""
        return f"http://{self._addresses['front']}:{NGINX_PORT}"

    def producer_url(self, host: str) -> str:
        """Address of the producer of a host."""
        return f"http://{self._addresses[host]}:{PRODUCER_PORT}"

    def set_faults(self, **chances: float) -> dict[str, dict[str, int]]:
        """Set the chances of S3's faults; return the numbers of faults and requests so far."""
        url = f"http://{self._addresses['s3']}:{CONTROL_PORT}/"
        counts: dict[str, dict[str, int]] = requests.put(url, json=chances, timeout=10).json()
        return counts

    def stored_keys(self) -> list[str]:
        """Return the keys of all objects in the bucket."""
        url = f"http://{self._addresses['s3']}:{MOTO_PORT}/{BUCKET}?list-type=2&max-keys=5000"
        listing = requests.get(url, timeout=30).text
        assert "<IsTruncated>false<" in listing, "more keys than one listing shows"
        return [unquote(key) for key in re.findall(r"<Key>([^<]+)</Key>", listing)]

    @property
    def master(self) -> str:
        """The name of the host whose Redis server the Sentinels call the master."""
        for sentinel in self._sentinels:
            with Redis.from_url(sentinel.url, socket_timeout=2, socket_connect_timeout=1) as redis:
                try:
                    row: Any = redis.sentinel_master(SentinelServer.MASTER)
                except (RedisError, OSError):
                    continue
            if row["is_odown"] is False and (row["num-other-sentinels"] or 0) == 2:
                return next(name for name, it in self._addresses.items() if it == row["ip"])
        return ""

    def redis(self, host: str) -> Redis:
        """Return a client of the server on a host."""
        return Redis.from_url(self.redis_servers[host].url, socket_timeout=5)

    def has_replica(self, host: str) -> bool:
        """Whether the server on a host is the master, and the other one has all of its data."""
        try:
            with self.redis(host) as redis:
                redis.set("mark", 1)
                return bool(redis.wait(1, 1000) == 1)
        except (RedisError, OSError):
            return False

    @property
    def logs(self) -> str:
        """Ends of the logs of all roles."""
        return "\n".join(f"--- {name}\n{role.log[-4000:]}" for name, role in self.roles.items())

    def _start_redis(self, binary: str) -> dict[str, RedisServer]:
        servers: dict[str, RedisServer] = {}
        for name in ("redis-1", "redis-2"):
            first = servers.get("redis-1")
            following = ("--replicaof", first.host.address, str(first.port)) if first else ()
            server = servers[name] = RedisServer(
                binary, self._own_folder(name), "--protected-mode", "no", *following,
                host=self.network.hosts[name],
            )  # fmt: skip
            server.start()
            self._stack.callback(server.stop)
        return servers

    def _start_sentinels(self, binary: str) -> list[SentinelServer]:
        master = self.redis_servers["redis-1"]
        sentinels = []
        for name in ("redis-1", "redis-2", "front"):
            sentinel = SentinelServer(
                binary, self._own_folder(f"sentinel-{name}"), master.port, quorum=2,
                master_host=master.host, host=self.network.hosts[name],
                down_after_ms=_DOWN_AFTER_MS,
            )  # fmt: skip
            sentinel.start()
            self._stack.callback(sentinel.stop)
            sentinels.append(sentinel)
        return sentinels

    def _start_storage(self) -> None:
        address = self._addresses["s3"]
        python = (sys.executable, "-m")
        self._start("s3", *python, "moto.server", "-H", address, "-p", str(MOTO_PORT))
        target = f"http://{address}:{MOTO_PORT}"
        self._start(
            "s3", *python, "tests.support.faulty_proxy", str(S3_PORT), str(CONTROL_PORT), target
        )

        def has_bucket() -> bool:
            try:
                url = f"http://{address}:{S3_PORT}/{BUCKET}"
                return requests.put(url, timeout=5).status_code == 200
            except requests.RequestException:
                return False

        wait_until(has_bucket, START_TIMEOUT_SECONDS, "a bucket")

    def _start_roles(self) -> dict[str, Role]:
        environment = self._environment()
        roles = {}
        for host, names in ROLES.items():
            folder = self._own_folder(host)
            for name in names:
                role = roles[name] = Role(name, environment, folder, self.network.hosts[host])
                role.start()
                self._stack.callback(_kill, role)
        return roles

    def _environment(self) -> dict[str, str]:
        # No proxy of this machine: it cannot be reached from the hosts.
        inherited = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        sentinels = (f"{one.host.address}:{one.port}" for one in self._sentinels)
        return {
            **inherited, "PYTHONPATH": str(ROOT), "LOG_FORMAT": "json",
            "REDIS_SENTINELS": ",".join(sentinels), "REDIS_SENTINEL_MASTER": SentinelServer.MASTER,
            "TASKS_STORAGE_URL": f"s3://{BUCKET}/service", "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{self._addresses['s3']}:{S3_PORT}",
            "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
            "PORT": str(PRODUCER_PORT), "LEASE_SECONDS": "3", "MODEL_PATH": "stand-in:200",
            "PROCESSING_BATCH_SIZE": "1", "MAX_IMAGES_IN_HAND": "2",
            "BACKEND_UPLOAD_URL": f"{self.receiver.url}/upload",
            "BACKEND_CALLBACK_URL": f"{self.receiver.url}/callback",
            "WEBHOOK_RETRY_SECONDS": "1", "SWEEP_INTERVAL_SECONDS": "2",
            "UPLOAD_TIMEOUT_SECONDS": "15", "UPLOAD_GRACE_SECONDS": "20",
        }  # fmt: skip

    def _start_nginx(self) -> None:
        """Start nginx with the documented configuration."""
        found = re.search(
            r"```nginx\n(upstream producers .*?\n}\n)(location .*?)```",
            OPERATING.read_text(encoding="utf-8"), re.DOTALL,
        )  # fmt: skip
        assert found is not None
        upstream = found[1]
        for address, host in (("10.0.0.11", "a"), ("10.0.0.12", "b")):
            assert f"{address}:8000" in upstream
            upstream = upstream.replace(address, self._addresses[host])
        folder = self._own_folder("nginx")
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{kind}_temp_path {kind};" for kind in kinds)
        (folder / "nginx.conf").write_text(
            _NGINX.format(
                port=NGINX_PORT, upstream=upstream, location=found[2], temporary=temporary
            )
        )
        command = (needed_program("nginx"), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr")
        self._start("front", *command)

    def _start(self, host: str, *command: str) -> None:
        with (self._folder / f"{host}.log").open("ab") as log:
            process = subprocess.Popen(
                [*self.network.hosts[host].prefix, *command], cwd=ROOT, stdout=log, stderr=log
            )
        self._stack.callback(_end, process)

    def _own_folder(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        return folder


@contextmanager
def many_hosts(made: Network, folder: Path, binary: str) -> Iterator[ManyHosts]:
    """Run the service on the hosts of a network during a block; this thread is on host `test`."""
    with made.entered("test"), ExitStack() as stack:
        service = ManyHosts(made, folder, binary, stack)
        wait_until(lambda: service.master == "redis-1", 30, "Sentinels that know each other")
        for url in (service.producer_url("a"), service.producer_url("b"), service.url):
            wait_until(lambda url=url: is_ready(url), START_TIMEOUT_SECONDS, lambda: service.logs)
        yield service


def is_ready(url: str) -> bool:
    """Whether a producer takes tasks."""
    try:
        return requests.get(f"{url}/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def _kill(role: Role) -> None:
    if role.is_running:
        role.kill()


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    process.wait(timeout=20)
