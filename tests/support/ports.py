"""Loopback ports for servers that tests start."""

import os
import random
import socket

import pytest

# Below the ranges from which systems take the ports of outgoing connections (32768 and up on
# Linux, 16000 and up in some sandboxes): one of those may take a port between its choice and the
# server's start.
_RANGE = range(10_000, 16_000)

# Servers bind their ports late, after seconds of imports; until then a port looks free to the
# next caller. So no port is returned twice, also not by the processes of pytest-xdist.
_PROCESSES = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_own = _RANGE[_PROCESS % _PROCESSES :: _PROCESSES]
_untried = random.sample(_own, len(_own))


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


NEEDS_IPV6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")


def free_port() -> int:
    """Return a loopback port that is free now, and was not returned before.

    Raises AssertionError if all have been handed out.
    """
    while _untried:
        port = _untried.pop()
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")
