"""Buckets of S3 and of servers that speak its protocol, as the AWS_* variables describe them."""

import os
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from obstore.store import ObjectStore, from_url

from schemas.settings import env_file
from schemas.settings.misspelled import S3_VARIABLES

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config

# The first that is set counts. AWS' own tools prefer the first; the client knows only the others.
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_YES = ("true", "1", "yes", "on")
_NO = ("false", "0", "no", "off")
_RETRIES: "RetryConfig" = {"max_retries": 4}
"""Of one call: a few seconds at most, so that its caller learns the cause, and repeats the call."""


def open_bucket(url: str) -> ObjectStore:
    """Open `s3://bucket/prefix` with the AWS_* variables of the environment and of `.env`.

    Raises:
        ValueError: a variable is wrong; the message names it.
        obstore.exceptions.BaseError: the client refuses the rest.
    """
    _forget_empty()
    variables = _variables()
    options: ClientConfig = {"allow_http": _allows_http(variables)}
    config = {
        name: text
        for name, text in variables.items()
        if name in S3_VARIABLES and name != "AWS_ALLOW_HTTP"
    }
    if endpoint := _endpoint(variables):
        config["AWS_ENDPOINT_URL"] = endpoint
    return from_url(
        url, config=cast("S3Config", config), client_options=options, retry_config=_RETRIES
    )


def _forget_empty() -> None:
    """Unset what is empty, as every setting is then: the client takes it for a value."""
    for name in [name for name, text in os.environ.items() if not text.strip()]:
        if name.startswith("AWS_"):
            del os.environ[name]


def _variables() -> dict[str, str]:
    """Values by name; the client itself reads only the environment."""
    file = {name: found.value for name, found in env_file.read().items() if found.value}
    return {name: text for name, text in (file | os.environ).items() if name.startswith("AWS_")}


def _endpoint(variables: dict[str, str]) -> str | None:
    name = next((name for name in _ENDPOINTS if name in variables), None)
    if name is None:
        return None
    try:
        parts = urlsplit(variables[name])
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        usable = usable and not parts.query and not parts.fragment  # would swallow every path
    except ValueError:  # its text would repeat what may be a password
        usable = False
    if not usable:
        raise ValueError(f"{name} must be a full http:// or https:// address")
    return variables[name]


def _allows_http(variables: dict[str, str]) -> bool:
    """Whether files may cross the network without TLS."""
    asked_for = (_endpoint(variables) or "").lower().startswith("http://")
    chosen = variables.get("AWS_ALLOW_HTTP", str(asked_for)).strip().lower()
    if chosen not in (*_YES, *_NO):
        raise ValueError("AWS_ALLOW_HTTP must be true or false")
    if asked_for and chosen in _NO:
        raise ValueError("AWS_ALLOW_HTTP must be true, or the endpoint https://")
    return chosen in _YES
