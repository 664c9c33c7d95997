"""Addresses without what is secret in them."""

from urllib.parse import urlsplit

HIDDEN = "…"


def masked_address(url: str, *, with_path: bool = False) -> str:
    """Return an address without password and query, and only if asked with its path."""
    parts = urlsplit(url.strip())
    user, at, host = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    hidden_user = f"{name}:{HIDDEN}" if colon else name and HIDDEN
    path = parts.path if with_path or parts.path in ("", "/") else f"/{HIDDEN}"
    query = f"?{HIDDEN}" if parts.query else ""
    return f"{parts.scheme}://{hidden_user}{at}{host}{path}{query}"
