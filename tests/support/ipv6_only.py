"""The service on a machine that has only IPv6: a program that runs in a network of its own.

unshare --net python -m tests.support.ipv6_only FOLDER PHOTO
"""

import fcntl
import http.server
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import httpx
from redis import Redis

from tests.support.redis_server import server_binaries
from tests.support.service import ROOT, Role, wait_until

# requests looks for IPv6 when it is imported, and then this network has no address yet.
PRODUCER, RECEIVER = "http://[::1]:8000", "http://[::1]:8080/hook"
METRICS = {"worker": 9101, "dispatcher": 9102}
_SIOCSIFFLAGS, _SIOCSIFADDR, _IFF_UP = 0x8914, 0x8916, 1


def leave_only_ipv6() -> None:
    """Start the loopback device of this network, and take its IPv4 address away."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
        none = struct.pack("HH4s8x", socket.AF_INET, 0, bytes(4))
        fcntl.ioctl(control, _SIOCSIFADDR, struct.pack("16s16s", b"lo", none))


def reaches(address: str) -> bool:
    """Return whether something can listen on an address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.create_server((address, 0), family=family) as server:
            socket.create_connection(server.getsockname()[:2], timeout=5).close()
    except OSError:
        return False
    return True


class _Receiver(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


class _Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def answers(url: str) -> bool:
    """Return whether a URL responds with 200."""
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def cover(photo: bytes) -> str:
    """Send a photo; return the status of its task at the end."""
    wait_until(lambda: answers(f"{PRODUCER}/ready"), 60, "the producer")
    sent = httpx.post(f"{PRODUCER}/api/v1/process-task/", files={"files": photo}, timeout=30)
    status = f"{PRODUCER}/api/v1/task-status/{sent.json()['task_id']}"

    def state() -> str:
        return str(httpx.get(status, timeout=30).json()["status"])

    wait_until(lambda: state() in ("completed", "failed"), 60, "the end of the task")
    return state()


def main(folder: Path, photo: Path) -> None:
    """Run all roles, cover a photo, receive its webhook, read all metrics."""
    leave_only_ipv6()
    assert reaches("::1"), "no IPv6"
    assert not reaches("127.0.0.1"), "IPv4 is still there"
    binary = server_binaries()["valkey"]
    options = ["--bind", "::1", "--save", "", "--dir", str(folder)]
    server = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
    receiver = _Receiver(("::1", 8080), _Hook)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "HOST": "::", "REDIS_HOST": "::1",
        "LOG_FORMAT": "json", "MODEL_PATH": "stand-in:1", "BACKEND_CALLBACK_URL": RECEIVER,
    }  # fmt: skip
    roles = [Role(name, environment, folder) for name in ("producer", "worker", "dispatcher")]
    try:
        for role in roles:
            role.start()
        status = cover(photo.read_bytes())
        for name, port in METRICS.items():
            assert answers(f"http://[::1]:{port}/metrics"), name
        delivered = f"http://[::1]:{METRICS['dispatcher']}/metrics"
        line = 'plate_deliveries_total{kind="callback",outcome="delivered"} 1.0'
        wait_until(lambda: line in httpx.get(delivered, timeout=5).text, 30, "the webhook")
        with Redis(host="::1") as redis:
            assert redis.xlen("{plates}:images") == 0
        print(status)
    except BaseException:
        print(*(role.log for role in roles), sep="\n---\n", file=sys.stderr)
        raise
    finally:
        for role in roles:
            if role.is_running:
                role.kill()
        server.kill()
        server.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
