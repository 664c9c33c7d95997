"""Buckets by the scheme of their address, and the variables that each kind of them reads."""

from urllib.parse import urlsplit

from obstore.store import AzureStore, ObjectStore, S3Store

from schemas.storage.clouds import (
    AZURE_VARIABLES,
    GOOGLE_VARIABLES,
    open_container,
    open_google_bucket,
)
from schemas.storage.s3 import RETRIES, S3_VARIABLES, open_s3_bucket
from schemas.storage.variables import set_variables

VARIABLES = {"s3": S3_VARIABLES, "gs": GOOGLE_VARIABLES, "az": AZURE_VARIABLES}
"""Names and meanings, by scheme."""

SECRET_VARIABLES = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
)  # fmt: skip

_BATCHES = {S3Store: 1000, AzureStore: 256}
_PREFIXES = {"s3": "AWS_", "gs": "GOOGLE_", "az": "AZURE_"}


def open_bucket(url: str) -> ObjectStore:
    """Open `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.

    Raises:
        ValueError: a variable is wrong; the message names it.
        obstore.exceptions.BaseError: the client refuses the rest.
    """
    scheme = urlsplit(url).scheme
    if scheme == "gs":
        return open_google_bucket(url, RETRIES)
    if scheme == "az":
        return open_container(url, RETRIES)
    return open_s3_bucket(url)


def bucket_variables(url: str) -> dict[str, str]:
    """Return the variables that are set for a bucket; none for a folder."""
    prefix = _PREFIXES.get(urlsplit(url).scheme)
    return {} if prefix is None else set_variables(prefix)


def delete_batch(store: ObjectStore) -> int:
    """Return how many objects one request deletes.

    In a local folder and in Google's storage, a batch would end at the first missing file.
    """
    return next((size for kind, size in _BATCHES.items() if isinstance(store, kind)), 1)
