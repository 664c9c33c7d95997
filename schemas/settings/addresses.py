"""Addresses among the settings: what is accepted, and the line that says what would be.

Each check returns the value to use, or raises ValueError; a line never repeats an address, which
may carry a password.
"""

import os
import re
from ipaddress import IPv6Address
from pathlib import Path
from urllib.parse import unquote, urlsplit

SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://.+:(?P<port>\d+)")
"""What Kubernetes sets <SERVICE>_PORT to in each container, whether or not it is asked to."""

_BUCKET = re.compile(r"s3://[^\s:/?#@]+(/[^?#]*)?")
_HOST = re.compile(r"[^\s:/?#@%\[\]\\]+")  # no character that means something in an address
_URL = re.compile(r"[!-~]+")


def storage_folder(url: str) -> Path | None:
    """The folder of a `file://` address, None for any other address.

    Everything in it that belongs to no task is deleted in time. So an address that is easily
    meant otherwise is refused: ValueError, with a line that names the right form.
    """
    parts = urlsplit(url)
    if parts.scheme != "file":
        return None
    folder = Path(unquote(parts.path))
    exact = url.startswith("file://") and parts.netloc in ("", "localhost")
    if not exact or not folder.is_absolute() or "?" in url or "#" in url:
        raise ValueError("must be file:///absolute/folder (three slashes; %3F for ?, %23 for #)")
    if Path(os.path.normpath(folder)) == Path(folder.anchor):
        raise ValueError("must be file:///absolute/folder, not the root of the file system")
    return folder


def storage_address(url: str) -> str:
    """TASKS_STORAGE_URL."""
    if url and not url.startswith(("file://", "s3://")):
        raise ValueError("must start with file:// or s3://")
    if url.startswith("s3://") and not _BUCKET.fullmatch(url):  # the client ignores the rest
        raise ValueError("must be s3://bucket/prefix; AWS_* variables say how to get there")
    storage_folder(url)
    return url


def redis_url(url: str | None) -> str | None:
    """REDIS_URL."""
    if url is not None:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0
        except ValueError:  # its text would repeat what may be a password
            usable = False
        if not usable:
            raise ValueError("must be redis://[user:password@]host[:port][/database] or rediss://…")
    return url


def sentinel_list(text: str) -> str:
    """REDIS_SENTINELS."""
    items = list(filter(None, text.split(",")))
    if text and not items:
        raise ValueError("must be host:port, several separated by commas")
    for item in items:
        host, _, port = item.strip().rpartition(":")
        if not host or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise ValueError("must be host:port, several separated by commas")
    return text


def service_port(value: object) -> object:
    """REDIS_PORT: of the address that Kubernetes sets for a Service named `redis`, its port."""
    injected = SERVICE_ADDRESS.fullmatch(value) if isinstance(value, str) else None
    return injected["port"] if injected else value


def redis_host(host: str) -> str:
    """REDIS_HOST, an IPv6 address without its brackets."""
    return _host(host, "REDIS_PORT")


def listen_host(host: str) -> str:
    """HOST, an IPv6 address without its brackets; empty: all addresses."""
    return _host(host, "PORT") if host else host


def _host(host: str, port_setting: str) -> str:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare:
        try:
            return str(IPv6Address(bare))
        except ValueError:
            raise ValueError(f"must be a host alone; its port goes into {port_setting}") from None
    if not _HOST.fullmatch(host) or not _is_resolvable(host):
        raise ValueError("must be the name or the address of a host, nothing else")
    return host


def _is_resolvable(host: str) -> bool:
    """Whether the resolver can be asked; it refuses some names with no OSError."""
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def public_url(url: str) -> str:
    """PUBLIC_URL, without the slash at its end."""
    if not url:
        return url
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not _URL.fullmatch(url) or set("?#@") & set(url):
        raise ValueError("must be http(s)://host[:port][/path], percent-encoded, nothing else")
    return url.rstrip("/")


def in_url(host: str) -> str:
    """A host as addresses have it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
