"""Which sockets a host means, on machines with both families of addresses and with one."""

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from schemas import listening
from schemas.listening import bound_sockets, check_bindable
from schemas.settings.addresses import listen_host, public_url, redis_host
from tests.support.ports import NEEDS_IPV6, free_port


def addresses(host: str, port: int) -> list[str]:
    with ExitStack() as opened:
        found = [opened.enter_context(sock) for sock in bound_sockets(host, port)]
        return [sock.getsockname()[0] for sock in found]


@pytest.fixture
def without() -> Iterator[Any]:
    """Take a family of addresses away from this machine."""
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
def test_a_host_means_these_addresses(host: str, expected: list[str]) -> None:
    assert addresses(host, free_port()) == expected


@NEEDS_IPV6
def test_a_name_means_all_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    found = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", port)),  # nobody's
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
def test_a_port_that_is_taken_in_one_family_is_taken(taken: str) -> None:
    port = free_port()
    with ExitStack() as opened:
        for sock in bound_sockets(taken, port):
            opened.enter_context(sock).listen()
        with pytest.raises(OSError, match="in use") as caught:
            check_bindable("::", port)
    assert caught.value.errno == errno.EADDRINUSE
    check_bindable("::", port)  # nothing of the failed attempt is left


def test_a_name_that_nobody_has_is_an_oserror() -> None:
    with pytest.raises(OSError, match=r"."):
        bound_sockets("no-such-name.invalid", free_port())


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("[::1]", "::1"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("::", "::"),
        ("", ""),
        ("localhost", "localhost"),
        ("plates.example.org", "plates.example.org"),
    ],
)
def test_a_host_is_kept_in_one_form(given: str, host: str) -> None:
    assert listen_host(given) == host


@pytest.mark.parametrize("given", ["localhost:8000", "[::1]:8000", "::g"])
def test_a_host_with_a_port_names_the_setting_for_it(given: str) -> None:
    with pytest.raises(ValueError, match=r"its port goes into PORT$|name or the address"):
        listen_host(given)


@pytest.mark.parametrize("given", ["http://localhost", "a b", "a..b", "x" * 64, "/run/socket"])
def test_what_is_no_host(given: str) -> None:
    for check in (listen_host, redis_host):
        with pytest.raises(ValueError, match="must be"):
            check(given)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        ("https://example.org/plates/", "https://example.org/plates"),
        ("https://example.org/", "https://example.org"),
        ("http://[::1]:8080/a/b", "http://[::1]:8080/a/b"),
    ],
)
def test_a_public_url_has_no_slash_at_its_end(given: str, kept: str) -> None:
    assert public_url(given) == kept


@pytest.mark.parametrize(
    "given",
    [
        "example.org/plates", "/plates", "ftp://example.org", "https://", "https://user@example.org",
        "https://example.org/?a", "https://example.org/#a", "https://example.org/a b",
        "https://example.org:port", "https://пример.рф", "https://example.org:0", "https://[::1",
    ],
)  # fmt: skip
def test_what_is_no_public_url(given: str) -> None:
    with pytest.raises(ValueError, match=r"must be http"):
        public_url(given)
