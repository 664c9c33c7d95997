"""Containers of Azure Blob Storage (`az://`) and buckets of Google Cloud Storage (`gs://`)."""

from typing import TYPE_CHECKING, cast

from obstore.store import ObjectStore, from_url

from schemas.settings.addresses import is_server_url
from schemas.storage.variables import set_variables

if TYPE_CHECKING:
    from obstore.store import AzureConfig, GCSConfig, RetryConfig

AZURE_VARIABLES = {
    "AZURE_STORAGE_ACCOUNT_NAME": "Storage account of the container",
    "AZURE_STORAGE_ACCOUNT_KEY": "Its key; empty: the identity of the machine or of the pod",
    "AZURE_STORAGE_SAS_TOKEN": "A shared access signature, instead of the key",
    "AZURE_STORAGE_ENDPOINT": "Address of a server other than Microsoft's, `https://…` or "
    "`http://…`",
}
"""Read from the environment and `.env` if TASKS_STORAGE_URL is `az://…`."""

GOOGLE_VARIABLES = {
    "GOOGLE_APPLICATION_CREDENTIALS": "File with the credentials for the bucket; empty: the "
    "identity of the machine or of the pod",
}
"""Read from the environment and `.env` if TASKS_STORAGE_URL is `gs://…`."""


def open_container(url: str, retries: "RetryConfig") -> ObjectStore:
    """Open `az://container/prefix`; errors as `open_bucket`."""
    variables = set_variables("AZURE_")
    config = {name: text for name, text in variables.items() if name in AZURE_VARIABLES}
    endpoint = config.get("AZURE_STORAGE_ENDPOINT", "https://")
    if endpoint != "https://" and not is_server_url(endpoint, "http", "https"):
        raise ValueError("AZURE_STORAGE_ENDPOINT must be a full http:// or https:// address")
    return from_url(
        url,
        config=cast("AzureConfig", config),
        client_options={"allow_http": endpoint.lower().startswith("http://")},
        retry_config=retries,
    )


def open_google_bucket(url: str, retries: "RetryConfig") -> ObjectStore:
    """Open `gs://bucket/prefix`; errors as `open_bucket`."""
    variables = set_variables("GOOGLE_")
    config = {name: text for name, text in variables.items() if name in GOOGLE_VARIABLES}
    return from_url(url, config=cast("GCSConfig", config), retry_config=retries)
