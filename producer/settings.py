"""Settings of the producer, on top of what every process shares."""

import hashlib
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import NoDecode
from yarl import URL

from schemas.settings import addresses
from schemas.settings.base import NonNegativeSeconds, Seconds, Settings

# Room for part headers and ignored fields; files alone make up the rest of a request.
_OVERHEAD_BYTES = 1_048_576


# Short ones could be guessed, and their digests turned back into them.
_API_KEY = re.compile(r"[!-+\--~]{16,256}")

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@*\\]+", re.IGNORECASE)


def _digests(value: object) -> object:
    """SHA-256 of each key of a comma-separated list: the keys themselves are not kept."""
    if not isinstance(value, str):
        return value
    keys = [key.strip() for key in value.split(",") if key.strip()]
    if value and not keys:  # meant to close the service, and would leave it open
        raise ValueError("holds no key")
    if not all(map(_API_KEY.fullmatch, keys)):
        raise ValueError("each key must be 16 to 256 visible ASCII characters without a comma")
    return tuple(hashlib.sha256(key.encode()).digest() for key in dict.fromkeys(keys))


def _origins(value: object) -> object:
    """Each origin of a comma-separated list, as browsers write it."""
    if not isinstance(value, str):
        return value
    return tuple(dict.fromkeys(_origin(item.strip()) for item in value.split(",") if item.strip()))


def _origin(text: str) -> str:
    if text == "*":
        return text
    try:
        if _ORIGIN.fullmatch(text):
            # In lower case, a name in Punycode, without the port that is the scheme's default.
            return str(URL(text).origin())
    except ValueError:
        pass
    raise ValueError("each must be * or an origin like https://app.example.org, without a path")


class ProducerSettings(Settings):
    """What only the HTTP side reads."""

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
        "before the paths in an answer; only behind a proxy that sets or removes that header",
    )
    idempotency_lease_seconds: Seconds = Field(
        15, description="Silence after which a dead producer's idempotency keys are free"
    )
    max_request_size_mb: int = Field(
        0,
        ge=0,
        description="Most MiB of one request; 0: what MAX_FILES_PER_REQUEST and "
        "MAX_FILE_SIZE_BYTES allow",
    )
    max_backlog_images: int = Field(
        10_000, ge=1, description="Images waiting or in work above which new tasks get 503"
    )
    max_concurrent_uploads: int = Field(
        16, ge=1, description="Uploads received at the same time; further ones wait a little"
    )
    upload_timeout_seconds: Seconds = Field(600, description="Longest time for one whole upload")
    upload_idle_timeout_seconds: Seconds = Field(
        30, description="Longest silence of a client within an upload, or while an answer is sent"
    )
    max_event_streams: int = Field(
        500, ge=0, description="Progress streams (task-events) open at the same time"
    )
    drain_seconds: NonNegativeSeconds = Field(
        25, description="Longest wait on SIGTERM for requests in flight"
    )

    @property
    def max_files(self) -> int:
        """Most images of one request: more than the backlog may hold could never be accepted."""
        return min(self.max_files_per_request, self.max_backlog_images)

    @property
    def max_request_bytes(self) -> int:
        """Most bytes of one request body."""
        by_files = self.max_files_per_request * self.max_file_size_bytes + _OVERHEAD_BYTES
        return self.max_request_size_mb * 1_048_576 or by_files
