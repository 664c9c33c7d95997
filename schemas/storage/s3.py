"""Buckets of S3, and of servers that speak its protocol, configured by AWS_* variables."""

from typing import TYPE_CHECKING, cast

from obstore.store import ObjectStore, from_url

from schemas.settings.addresses import is_server_url
from schemas.storage.variables import set_variables

if TYPE_CHECKING:
    from obstore.store import RetryConfig, S3Config

S3_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "Access key ID for the bucket",
    "AWS_SECRET_ACCESS_KEY": "Its secret",
    "AWS_SESSION_TOKEN": "Session token of temporary keys",
    "AWS_REGION": "Region of the bucket; empty: us-east-1",
    "AWS_ENDPOINT_URL": "Address of a server other than Amazon's, `https://…` or `http://…`",
    "AWS_ALLOW_HTTP": "`true`: without TLS; an AWS_ENDPOINT_URL with `http://` implies it",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "`true`: the bucket is part of the host name",
}
"""Read from the environment and `.env` if TASKS_STORAGE_URL is `s3://…`."""

# The first that is set counts. AWS' own tools prefer the first; the client knows only the others.
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_YES = ("true", "1", "yes", "on")
_NO = ("false", "0", "no", "off")
RETRIES: "RetryConfig" = {"max_retries": 4}
"""Of one call: a few seconds at most, so that its caller can log the cause and repeat the call."""


def open_s3_bucket(url: str) -> ObjectStore:
    """Open `s3://bucket/prefix`.

    Raises:
        ValueError: a variable is wrong; the message names it.
        obstore.exceptions.BaseError: the client refuses the rest.
    """
    variables = set_variables("AWS_")
    endpoint = _endpoint(variables)
    allow_http = _allows_http(variables, endpoint)
    config = {name: text for name, text in variables.items() if name in S3_VARIABLES}
    config.pop("AWS_ALLOW_HTTP", None)
    if endpoint:
        config["AWS_ENDPOINT_URL"] = endpoint
    return from_url(
        url,
        config=cast("S3Config", config),
        client_options={"allow_http": allow_http},
        retry_config=RETRIES,
    )


def _endpoint(variables: dict[str, str]) -> str | None:
    name = next((name for name in _ENDPOINTS if name in variables), None)
    if name is None:
        return None
    url = variables[name]
    # Each key would become a part of a query or a fragment.
    if not is_server_url(url, "http", "https") or set("?#") & set(url):
        raise ValueError(f"{name} must be a full http:// or https:// address")
    return url


def _allows_http(variables: dict[str, str], endpoint: str | None) -> bool:
    is_http = (endpoint or "").lower().startswith("http://")
    value = variables.get("AWS_ALLOW_HTTP", str(is_http)).strip().lower()
    if value not in (*_YES, *_NO):
        raise ValueError("AWS_ALLOW_HTTP must be true or false")
    if is_http and value in _NO:
        raise ValueError("AWS_ALLOW_HTTP must be true, or the endpoint https://")
    return value in _YES
