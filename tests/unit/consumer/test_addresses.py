"""Addresses of webhooks byte for byte, and which proxy lies on the way to them."""

import base64

import pytest

from consumer.addresses import http_address, proxy_for
from consumer.settings import DispatcherSettings
from schemas.settings.base import SettingsError


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/hook/%2F%3A%40%28%29%2C%7E%21",
        "/hook/%2f%3a%c3%a9%E9",
        "/a%20b+c/~'()*!$&,;=:@",
        "/hook?sig=%2B%2f%3D%3d+%20&next=http%3A%2F%2Fx%2F%3Fy",
        "/hook?a=b?c=d&e=/f:@",
        "/hook?",
        "//double//slashes/",
        "/a/../b/./c",
        "/%zz%",
        "/{id}|^`\"<>[]",
    ],
)  # fmt: skip
def test_path_and_query_are_sent_as_they_are_written(target: str) -> None:
    assert http_address(f"http://h:8001{target}").url.raw_path_qs == target
    assert str(http_address(f"https://h:8001{target}").url) == f"https://h:8001{target}"


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("http://h", "http://h/"),
        ("http://h?x=1", "http://h/?x=1"),
        ("http://h/a#part", "http://h/a"),
        ("http://h/a?b#part?c", "http://h/a?b"),
        ("http://h/a b", "http://h/a%20b"),
        (" http://h/a ", "http://h/a"),
        ("http://h/ж%2f?é=+", "http://h/%D0%B6%2f?%C3%A9=+"),
        ("http://пример.рф:8080/x", "http://xn--e1afmkfd.xn--p1ai:8080/x"),
        ("http://my_app:8001/x", "http://my_app:8001/x"),
        ("http://[::1]:8001/x", "http://[::1]:8001/x"),
        ("HTTP://h/X", "http://h/X"),
    ],
)
def test_only_what_a_request_cannot_hold_is_changed(address: str, sent: str) -> None:
    assert str(http_address(address).url) == sent


@pytest.mark.parametrize(
    ("userinfo", "pair"),
    [
        ("user:hunter2@", "user:hunter2"),
        ("u%40x:p%3Aw%2F@", "u@x:p:w/"),
        ("юзер:пароль@", "юзер:пароль"),
        ("token@", "token:"),
        (":secret@", ":secret"),
    ],
)
def test_user_and_password_become_a_header(userinfo: str, pair: str) -> None:
    address = http_address(f"http://{userinfo}h/%2F")
    assert str(address.url) == "http://h/%2F"
    assert address.authorization is not None
    scheme, _, coded = address.authorization.partition(" ")
    assert (scheme, base64.b64decode(coded).decode()) == ("Basic", pair)
    assert coded not in repr(address)


@pytest.mark.parametrize(
    "address",
    [
        "ftp://user:hunter2@h/", "http://user:hunter2@h:99999/", "http://user:hunter2@h:0/",
        "http://user:hunter2@/x", "http://user:hun#ter2@h/", "http://user:hunter2@h℀st/",
        "http://user:hunter2@[::1/", "http://user:hunter2@h\n/", "http://user:hunter2@h x/",
        "hunter2",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_and_not_repeated(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BACKEND_UPLOAD_URL", address)
    with pytest.raises(SettingsError, match=r"BACKEND_UPLOAD_URL=….*full http://") as raised:
        DispatcherSettings.load()
    assert "hunter2" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without proxies."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def proxy_of(url: str, setting: str = "env") -> str | None:
    proxy = proxy_for(http_address(url).url, setting)
    return None if proxy is None else str(proxy.url)


def test_an_address_of_a_proxy_is_used_for_everything(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTP_PROXY", "http://other:1")
    environment.setenv("NO_PROXY", "*")
    assert proxy_of("http://h/", "http://proxy:3128") == "http://proxy:3128/"
    assert proxy_of("https://h/", "http://proxy:3128") == "http://proxy:3128/"


def test_without_the_setting_there_is_no_proxy(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTP_PROXY", "http://other:1")
    assert proxy_of("http://h/", "") is None


@pytest.mark.parametrize(
    ("name", "url", "proxied"),
    [
        ("HTTP_PROXY", "http://h/", True),
        ("HTTP_PROXY", "https://h/", False),
        ("https_proxy", "https://h/", True),
        ("HTTPS_PROXY", "http://h/", False),
        ("ALL_PROXY", "http://h/", True),
        ("all_proxy", "https://h/", True),
    ],
)
def test_the_environment_names_a_proxy_for_each_scheme(
    name: str, url: str, proxied: bool, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv(name, "http://proxy:3128")
    assert (proxy_of(url) is not None) == proxied


@pytest.mark.parametrize("value", ["http://proxy:3128", "proxy:3128", "http://proxy:3128/"])
def test_a_proxy_may_be_named_without_its_scheme(
    value: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("HTTP_PROXY", value)
    assert proxy_of("http://h/") == "http://proxy:3128/"


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("backend", "http://backend/", True),
        ("backend", "http://backend:8001/", True),
        ("backend", "http://other/", False),
        ("example.com", "http://api.example.com/", True),
        (".example.com", "http://api.example.com/", True),
        ("*.example.com", "http://api.example.com/", True),
        ("example.com", "http://badexample.com/", False),
        ("Example.COM", "http://API.example.com/", True),
        ("backend:8001", "http://backend:8001/", True),
        ("backend:8001", "http://backend:8002/", False),
        ("backend:443", "https://backend/", True),
        ("example.com:80", "http://api.example.com/", True),
        ("10.1.2.3", "http://10.1.2.3:8001/", True),
        ("10.0.0.0/8", "http://10.1.2.3/", True),
        ("10.0.0.0/8", "http://11.1.2.3/", False),
        ("10.0.0.1/8", "http://10.1.2.3/", True),
        ("::1", "http://[::1]:8001/", True),
        ("[::1]", "http://[::1]/", True),
        ("fd00::/8", "http://[fd12::1]/", True),
        ("localhost, 127.0.0.1 ,backend", "http://backend/", True),
        ("localhost backend", "http://backend/", True),
        ("*", "http://anything/", True),
        (",", "http://backend/", False),
        ("пример.рф", "http://пример.рф/", True),
    ],
)
def test_no_proxy_names_who_is_reached_directly(
    no_proxy: str, url: str, direct: bool, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("ALL_PROXY", "http://proxy:3128")
    environment.setenv("NO_PROXY", no_proxy)
    assert (proxy_of(url) is None) == direct


@pytest.mark.parametrize(
    ("setting", "variable", "value"),
    [
        ("socks5://user:hunter2@proxy:1080", "", ""),
        ("https://user:hunter2@proxy:3128", "", ""),
        ("proxy:3128", "", ""),
        ("environment", "", ""),
        ("env", "HTTP_PROXY", "socks5://user:hunter2@proxy:1080"),
        ("env", "all_proxy", "http://user:hunter2@proxy:0"),
    ],
)
def test_a_proxy_that_cannot_be_used_stops_the_start(
    setting: str, variable: str, value: str, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("BACKEND_UPLOAD_URL", "http://backend/")
    environment.setenv("WEBHOOK_PROXY", setting)
    if variable:
        environment.setenv(variable, value)
    with pytest.raises(SettingsError, match="_PROXY") as raised:
        DispatcherSettings.load()
    assert "hunter2" not in str(raised.value)


def test_credentials_of_a_proxy_are_shown_nowhere(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BACKEND_UPLOAD_URL", "http://backend/")
    environment.setenv("WEBHOOK_PROXY", "http://user:hunter2@proxy:3128")
    settings = DispatcherSettings.load()
    proxy = settings.proxy_of("http://backend/")
    assert proxy is not None
    assert "hunter2" not in f"{settings!r} {settings} {proxy!r}"
