"""Loopback ports for servers that tests start."""

import random
import socket

# Below the range from which the system takes the ports of outgoing connections (32768 and up on
# Linux): one of those may take a port between its choice and the server's start.
_RANGE = range(15_000, 32_000)


def free_port() -> int:
    """A loopback port that nobody uses now, nor is likely to use in a moment."""
    for port in random.sample(_RANGE, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")
