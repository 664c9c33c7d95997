"""Checks of the settings that are addresses."""

import pytest

from schemas.settings.addresses import listen_host, public_url, redis_host


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
def test_a_host_is_normalized(given: str, host: str) -> None:
    assert listen_host(given) == host


@pytest.mark.parametrize("given", ["localhost:8000", "[::1]:8000", "::g"])
def test_a_host_with_a_port_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match=r"its port goes into PORT$|name or the address"):
        listen_host(given)


@pytest.mark.parametrize("given", ["http://localhost", "a b", "a..b", "x" * 64, "/run/socket"])
def test_other_text_is_no_host(given: str) -> None:
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
def test_other_text_is_no_public_url(given: str) -> None:
    with pytest.raises(ValueError, match=r"must be http"):
        public_url(given)
