"""Checks of the settings that are addresses.

Each returns the value to use, or raises ValueError with the accepted form. The message never
repeats an address, which may contain a password.
"""

import os
import re
from ipaddress import IPv6Address
from pathlib import Path
from urllib.parse import unquote, urlsplit

SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://.+:(?P<port>\d+)")
"""The value of <SERVICE>_PORT that Kubernetes sets in each container."""

BUCKETS = {"s3://": "AWS_*", "gs://": "GOOGLE_*", "az://": "AZURE_*"}
"""Schemes of buckets, with the variables that belong to them."""

_BUCKET = re.compile(r"(s3|gs|az)://[^\s:/?#@]+(/[^?#]*)?")
_HOST = re.compile(r"[^\s:/?#@%\[\]\\]+")  # no character with a meaning in an address
_URL = re.compile(r"[!-~]+")


def is_server_url(url: str, *schemes: str) -> bool:
    """Return whether a URL has one of the schemes, a host, and a valid port if any."""
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def storage_folder(url: str) -> Path | None:
    """Return the folder of a `file://` address, None for any other address.

    Files in it that belong to no task are deleted. So an ambiguous address is refused.
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
    """Check TASKS_STORAGE_URL."""
    if url and not url.startswith(("file://", *BUCKETS)):
        raise ValueError("must start with file://, s3://, gs:// or az://")
    if url.startswith(tuple(BUCKETS)) and not _BUCKET.fullmatch(url):  # the client ignores the rest
        names = BUCKETS[url[:5]]
        raise ValueError(f"must be {url[:5]}bucket/prefix; {names} variables say how to get there")
    storage_folder(url)
    return url


def redis_url(url: str | None) -> str | None:
    """Check REDIS_URL."""
    if url is not None and not is_server_url(url, "redis", "rediss"):
        raise ValueError("must be redis://[user:password@]host[:port][/database] or rediss://…")
    return url


def server_list(text: str) -> str:
    """Check REDIS_SENTINELS or REDIS_CLUSTER_NODES."""
    parts = host_ports(text)
    valid = all(host and port.isdigit() and 1 <= int(port) <= 65535 for host, port in parts)
    if text and not (parts and valid):
        raise ValueError("must be host:port, several separated by commas")
    return text


def servers(text: str) -> list[tuple[str, int]]:
    """Return host and port of each server in a checked `host:port,host:port`."""
    return [(host.strip("[]"), int(port)) for host, port in host_ports(text)]


def host_ports(text: str) -> list[tuple[str, str]]:
    """Split `host:port,host:port`."""
    parts = (item.strip().rpartition(":") for item in text.split(",") if item)
    return [(host, port) for host, _, port in parts]


def service_port(value: object) -> object:
    """Return the port of an address that Kubernetes set as REDIS_PORT; other values unchanged."""
    injected = SERVICE_ADDRESS.fullmatch(value) if isinstance(value, str) else None
    return injected["port"] if injected else value


def redis_host(host: str) -> str:
    """Check REDIS_HOST; return an IPv6 address without its brackets."""
    return _host(host, "REDIS_PORT")


def listen_host(host: str) -> str:
    """Check HOST; return an IPv6 address without its brackets. Empty means all addresses."""
    return _host(host, "PORT") if host else host


def _host(host: str, port_setting: str) -> str:
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare:
        try:
            return str(IPv6Address(bare))
        except ValueError:
            raise ValueError(f"must be a host alone; its port goes into {port_setting}") from None
    try:
        host.encode("idna")  # as the resolver does
        is_host = _HOST.fullmatch(host) is not None
    except UnicodeError:
        is_host = False
    if not is_host:
        raise ValueError("must be the name or the address of a host, nothing else")
    return host


def public_url(url: str) -> str:
    """Check PUBLIC_URL; return it without a slash at the end."""
    usable = is_server_url(url, "http", "https") and _URL.fullmatch(url)
    if url and (not usable or set("?#@") & set(url)):
        raise ValueError("must be http(s)://host[:port][/path], percent-encoded, nothing else")
    return url.rstrip("/")


def in_url(host: str) -> str:
    """Return a host as URLs have it: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host
