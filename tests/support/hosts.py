"""Hosts of a network, on this machine: network namespaces on a bridge, whose links a test can cut.

Processes of different hosts share the disk, as far as they use it, but no loopback and no address.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest

from tests.support.programs import needed_program

_NETWORK = "10.99.0"
_BRIDGE = "br0"
_CLONE_NEWNET = 0x40000000
_FORBIDDEN = ("not permitted", "Permission denied", "not supported", "Unknown device type")


@dataclass(frozen=True)
class Host:
    """Where a process runs: the address of its host, and what its command line begins with."""

    address: str
    prefix: tuple[str, ...] = ()


LOOPBACK = Host("127.0.0.1")
"""This machine itself."""


class Network:
    """Hosts that are connected through one switch."""

    def __init__(self, stack: ExitStack, *names: str) -> None:
        self._id = f"pd{os.getpid()}"
        self._switch = f"{self._id}-switch"
        self.hosts = {
            name: Host(f"{_NETWORK}.{number}", ("ip", "netns", "exec", self._namespace(name)))
            for number, name in enumerate(names, start=1)
        }
        for namespace in (self._switch, *map(self._namespace, names)):
            _ip("netns", "add", namespace)
            stack.callback(_ip, "netns", "del", namespace)
        _ip("-n", self._switch, "link", "add", "name", _BRIDGE, "type", "bridge")
        _ip("-n", self._switch, "link", "set", "dev", _BRIDGE, "up")
        for name in names:
            self._connect(name)

    def _namespace(self, name: str) -> str:
        return f"{self._id}-{name}"

    def _connect(self, name: str) -> None:
        host = self._namespace(name)
        _ip(
            "-n", self._switch, "link", "add", "name", name, "type", "veth",
            "peer", "name", "eth0", "netns", host,
        )  # fmt: skip
        _ip("-n", self._switch, "link", "set", "dev", name, "master", _BRIDGE, "up")
        _ip("-n", host, "address", "add", f"{self.hosts[name].address}/24", "dev", "eth0")
        _ip("-n", host, "link", "set", "dev", "eth0", "up")
        _ip("-n", host, "link", "set", "dev", "lo", "up")

    def cut(self, name: str) -> None:
        """Cut a host off: packets from and to it are lost, connections stay open on both sides."""
        _ip("-n", self._switch, "link", "set", "dev", name, "down")

    def heal(self, name: str) -> None:
        """Connect a host again."""
        _ip("-n", self._switch, "link", "set", "dev", name, "up")

    @contextmanager
    def entered(self, name: str) -> Iterator[None]:
        """Let this thread, and threads that it starts, be on a host during the block."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        host = os.open(f"/run/netns/{self._namespace(name)}", os.O_RDONLY)
        try:
            _enter(host)
            yield
        finally:
            _enter(home)
            os.close(home)
            os.close(host)


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """Make hosts for the length of a block; skip the test where this process may not make any."""
    needed_program("ip")
    with ExitStack() as stack:
        try:
            made = Network(stack, *names)
        except subprocess.CalledProcessError as error:
            if not any(words in error.stderr for words in _FORBIDDEN):
                raise AssertionError(error.stderr) from error
            pytest.skip(f"network namespaces cannot be made here: {error.stderr.strip()}")
        yield made


def _ip(*arguments: str) -> None:
    subprocess.run(
        [needed_program("ip"), *arguments], check=True, capture_output=True, text=True, timeout=20
    )


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
