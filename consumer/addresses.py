"""Addresses of webhooks, and of the proxy between them and the dispatcher.

An address is sent byte for byte as it is configured. Only what a request cannot contain changes:
characters outside ASCII and spaces are percent-encoded, a host outside ASCII becomes its IDNA form,
user and password become a header, and a fragment is not sent.
"""

import base64
import re
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import SplitResult, quote, unquote, urlsplit
from urllib.request import getproxies_environment

from pydantic import SecretStr
from yarl import URL

from schemas.settings.addresses import in_url

_UNSENDABLE = re.compile(r"[^\x21-\x7e]+")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ENVIRONMENT = "env"
_PROXY_SCHEMES = ("http",)


@dataclass(frozen=True, slots=True)
class HttpAddress:
    """Where a request goes; `authorization` is the header that user and password make."""

    url: URL
    authorization: str | None = field(default=None, repr=False)


def http_address(text: str, schemes: tuple[str, ...] = ("http", "https")) -> HttpAddress:
    """Parse a full address; raise ValueError with a line that does not repeat it."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        if _CONTROL.search(text) or parts.scheme not in schemes or not parts.hostname:
            raise ValueError
        url = URL.build(
            scheme=parts.scheme,
            authority=_authority(parts),
            path=_UNSENDABLE.sub(lambda found: quote(found[0]), _request_target(text)),
            encoded=True,
        )
    except (ValueError, UnicodeError):  # its text would repeat what may be a password
        raise ValueError(
            f"must be a full {' or '.join(s + '://' for s in schemes)} address"
        ) from None
    return HttpAddress(url, _basic(parts))


def webhook_url(text: str | None) -> str | None:
    """Check BACKEND_UPLOAD_URL or BACKEND_CALLBACK_URL; raise ValueError."""
    if text is not None:
        http_address(text)
    return text


def proxy_setting(secret: SecretStr | None) -> SecretStr | None:
    """Check WEBHOOK_PROXY; raise ValueError."""
    text = _ENVIRONMENT if secret is None else secret.get_secret_value()
    if text != _ENVIRONMENT:
        try:
            http_address(text, _PROXY_SCHEMES)
        except ValueError as error:
            raise ValueError(f"{error}, or env") from None
    return secret


def proxy_for(address: URL, setting: str) -> HttpAddress | None:
    """Return the proxy that WEBHOOK_PROXY names for a webhook's address; None: connect directly.

    Raises:
        ValueError: that proxy is not usable.
    """
    if setting != _ENVIRONMENT:
        return http_address(setting, _PROXY_SCHEMES) if setting else None
    proxies = getproxies_environment()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if not proxy or _is_exempt(address, proxies.get("no", "")):
        return None
    try:
        return http_address(proxy if "://" in proxy else f"http://{proxy}", _PROXY_SCHEMES)
    except ValueError as error:
        name = f"{address.scheme}_proxy".upper()
        raise ValueError(f"{name} (or ALL_PROXY) of the environment {error}") from None


def _authority(parts: SplitResult) -> str:
    port = parts.port
    if port == 0:
        raise ValueError
    host = URL.build(scheme="http", host=parts.hostname or "").raw_host or ""
    return in_url(host) + ("" if port is None else f":{port}")


def _request_target(text: str) -> str:
    """Return path and query as they are written, including the `?` of an empty query."""
    rest = text.partition("://")[2].partition("#")[0]
    at = re.search(r"[/?]", rest)
    target = rest[at.start() :] if at else ""
    return target if target.startswith("/") else f"/{target}"


def _basic(parts: SplitResult) -> str | None:
    if not parts.username and not parts.password:
        return None
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _is_exempt(address: URL, no_proxy: str) -> bool:
    """Return whether NO_PROXY names a host: alone, with its port, by its domain or its network."""
    entries = re.split(r"[,\s]+", no_proxy.lower())
    names = [entry.lstrip("*").lstrip(".") for entry in entries if entry]
    for host in {address.raw_host or "", address.host or ""}:
        for place in (host, f"{in_url(host)}:{address.port}"):
            if any(not name or f".{place}".endswith(f".{name}") for name in names):
                return True
    return any(_contains(entry.strip("[]"), address.raw_host or "") for entry in entries)


def _contains(network: str, host: str) -> bool:
    try:
        return ip_address(host) in ip_network(network, strict=False)
    except ValueError:
        return False
