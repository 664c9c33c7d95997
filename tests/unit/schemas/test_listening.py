"""The sockets of a host, on machines with both families of addresses and with one."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from schemas import listening
from schemas.listening import bound_sockets, check_bindable
from tests.support.ports import NEEDS_IPV6, free_port


def addresses(host: str, port: int) -> list[str]:
    with ExitStack() as opened:
        found = [opened.enter_context(sock) for sock in bound_sockets(host, port)]
        return [sock.getsockname()[0] for sock in found]


@pytest.fixture
def without() -> Iterator[Any]:
    """A function that removes a family of addresses from this machine."""
    patch = pytest.MonkeyPatch()

    def take(family: int, number: int) -> None:
        class Socket(socket.socket):
            def __init__(self, wanted: int = socket.AF_INET, *rest: Any) -> None:
                if wanted == family and number == errno.EAFNOSUPPORT:
                    raise OSError(number, "Address family not supported by protocol")
                super().__init__(wanted, *rest)

            def bind(self, address: Any) -> None:
                if self.family == family:
                    raise OSError(number, "Cannot assign requested address")
                super().bind(address)

        patch.setattr(listening.socket, "socket", Socket)

    yield take
    patch.undo()


@NEEDS_IPV6
@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("::", ["::", "0.0.0.0"]),
        ("", ["::", "0.0.0.0"]),
        ("::1", ["::1"]),
        ("0.0.0.0", ["0.0.0.0"]),
        ("127.0.0.1", ["127.0.0.1"]),
    ],
)
def test_the_addresses_of_a_host(host: str, expected: list[str]) -> None:
    assert addresses(host, free_port()) == expected


@NEEDS_IPV6
def test_a_name_stands_for_all_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", port)),  # not local
    ]
    monkeypatch.setattr(listening.socket, "getaddrinfo", lambda *_, **__: found)
    assert addresses("both", port) == ["::1", "127.0.0.1"]


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_without_ipv6_all_addresses_are_those_of_ipv4(without: Any, number: int) -> None:
    port = free_port()
    without(socket.AF_INET6, number)
    assert addresses("::", port) == ["0.0.0.0"]
    with pytest.raises(OSError, match=r"Address family|Cannot assign"):
        bound_sockets("::1", port)


@NEEDS_IPV6
@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_without_ipv4_all_addresses_are_those_of_ipv6(without: Any, number: int) -> None:
    port = free_port()
    without(socket.AF_INET, number)
    assert addresses("::", port) == ["::"]


@NEEDS_IPV6
@pytest.mark.parametrize("taken", ["0.0.0.0", "127.0.0.1", "::1", "::"])
def test_a_port_in_use_in_one_family_is_an_error(taken: str) -> None:
    port = free_port()
    with ExitStack() as opened:
        for sock in bound_sockets(taken, port):
            opened.enter_context(sock).listen()
        with pytest.raises(OSError, match="in use") as caught:
            check_bindable("::", port)
    assert caught.value.errno == errno.EADDRINUSE
    check_bindable("::", port)  # the failed attempt has left no socket


def test_an_unknown_name_is_an_oserror() -> None:
    with pytest.raises(OSError, match=r"."):
        bound_sockets("no-such-name.invalid", free_port())
