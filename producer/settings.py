"""Settings of the producer, on top of what every process shares."""

import hashlib
import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import NoDecode
from yarl import URL

from schemas.settings import addresses
from schemas.settings.base import NonNegativeSeconds, Seconds, Settings

# Room for part headers and ignored fields; files alone make up the rest of a request.
_OVERHEAD_BYTES = 1_048_576
# A short key could be guessed from its digest.
_API_KEY = re.compile(r"[!-+\--~]{16,256}")

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@*\\]+", re.IGNORECASE)


def _digests(value: object) -> object:
    """Return the SHA-256 of each key of a comma-separated list: the keys are not kept."""
    if not isinstance(value, str):
        return value
    keys = [key.strip() for key in value.split(",") if key.strip()]
    if value and not keys:  # meant to close the service, and would leave it open
        raise ValueError("holds no key")
    if not all(map(_API_KEY.fullmatch, keys)):
        raise ValueError("each key must be 16 to 256 visible ASCII characters without a comma")
    return tuple(hashlib.sha256(key.encode()).digest() for key in dict.fromkeys(keys))


def _origins(value: object) -> object:
    """Return each origin of a comma-separated list, as browsers write it."""
    if not isinstance(value, str):
        return value
    return tuple(dict.fromkeys(_origin(item.strip()) for item in value.split(",") if item.strip()))


def _origin(text: str) -> str:
    if text == "*":
        return text
    try:
        if _ORIGIN.fullmatch(text):
            # In lower case, a name in Punycode, without the scheme's default port.
            return str(URL(text).origin())
    except ValueError:
        pass
    raise ValueError("each must be * or an origin like https://app.example.org, without a path")


class ProducerSettings(Settings):
    """The settings that only the producer reads."""

    host: Annotated[str, AfterValidator(addresses.listen_host)] = Field(
        "0.0.0.0",
        description="Address or name that the HTTP server listens on; `::`: all addresses, IPv6 "
        "and IPv4",
    )
    port: int = Field(8000, ge=1, le=65535, description="Port that the HTTP server listens on")
    api_keys: Annotated[tuple[bytes, ...], NoDecode, BeforeValidator(_digests)] = Field(
        (),
        repr=False,
        description="Keys, separated by commas, one of which every request about tasks must "
        "carry (`X-API-Key` or `Authorization: Bearer`); empty: open to all",
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)] = Field(
        (),
        description="Origins, separated by commas, whose pages may call this service from a "
        "browser (CORS), e.g. `https://app.example.org`; `*`: any; empty: none",
    )
    trust_forwarded_prefix: bool = Field(
        default=False,
        description="`true`: the path prefix that a proxy names in `X-Forwarded-Prefix` is put "
        "before the paths in a response; only behind a proxy that sets or removes that header",
    )
    result_delivery: Literal["proxy", "redirect"] = Field(
        "proxy",
        description="`proxy`: the producer sends results; `redirect`: it sends clients to the "
        "bucket, with an address that is signed for 5 minutes (307)",
    )
    ui_enabled: bool = Field(
        default=True,
        description="`true`: `/` is a page where people send photos and compare the results, and "
        "`/review` one where they check doubtful results; `false`: neither is found",
    )
    idempotency_lease_seconds: Seconds = Field(
        15, description="Time after which an idempotency key that a dead producer held is free"
    )
    max_request_size_mb: int = Field(
        0,
        ge=0,
        description="Maximum size of one request in MiB; 0: what MAX_FILES_PER_REQUEST and "
        "MAX_FILE_SIZE_BYTES allow",
    )
    max_backlog_images: int = Field(
        10_000,
        ge=1,
        description="Maximum number of images waiting or in flight; new tasks above it get 503",
    )
    max_concurrent_uploads: int = Field(
        16,
        ge=1,
        description="Maximum number of uploads received at the same time; others wait "
        "up to 10 seconds",
    )
    upload_timeout_seconds: Seconds = Field(600, description="Time limit of one whole upload")
    upload_idle_timeout_seconds: Seconds = Field(
        30,
        description="Idle timeout of a client that sends an upload or, on Linux, reads a response",
    )
    max_event_streams: int = Field(
        500,
        ge=0,
        description="Maximum number of progress streams (task-events) open at the same time",
    )
    drain_seconds: NonNegativeSeconds = Field(
        25, description="Time limit on SIGTERM for requests in flight"
    )

    @model_validator(mode="after")
    def _check_delivery(self) -> Self:
        if self.result_delivery == "redirect" and self.storage_url.startswith("file://"):
            raise ValueError("RESULT_DELIVERY=redirect needs a bucket as TASKS_STORAGE_URL")
        return self

    @property
    def max_files(self) -> int:
        """Maximum number of images of one request: the backlog could never hold more."""
        return min(self.max_files_per_request, self.max_backlog_images)

    @property
    def max_request_bytes(self) -> int:
        """Maximum size of one request body."""
        by_files = self.max_files_per_request * self.max_file_size_bytes + _OVERHEAD_BYTES
        return self.max_request_size_mb * 1_048_576 or by_files
