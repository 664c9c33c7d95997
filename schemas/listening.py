"""The sockets of a server: one for each address of a host."""

import errno
import socket
from contextlib import ExitStack

# The machine lacks this family of addresses, or the address is another machine's.
_NOT_LOCAL = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def bound_sockets(host: str, port: int) -> list[socket.socket]:
    """Listen on a socket for each address of a host; the caller closes them.

    `::` and an empty host mean all addresses of IPv6 and IPv4. Of a host with several addresses,
    those of other machines are skipped. Calls the resolver, which blocks.

    Raises:
        OSError: an address is in use or forbidden, none is local, or the name is unknown.
    """
    missing: OSError | None = None
    with ExitStack() as opened:
        sockets = []
        for family, address in _addresses(host, port):
            try:
                # IPv6 alone: IPv4 has its own socket, regardless of the system's default.
                sock = socket.create_server(address, family=family)
                sockets.append(opened.enter_context(sock))
            except OSError as error:
                if error.errno not in _NOT_LOCAL:
                    raise
                missing = error
        if not sockets and missing is not None:
            raise missing
        opened.pop_all()
        return sockets


def check_bindable(host: str, port: int) -> None:
    """Raise OSError if `bound_sockets` would."""
    for sock in bound_sockets(host, port):
        sock.close()


def _addresses(host: str, port: int) -> list[tuple[int, tuple[object, ...]]]:
    if host in ("", "::"):
        return [(socket.AF_INET6, ("::", port)), (socket.AF_INET, ("0.0.0.0", port))]
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))
