"""The settings that all processes share, and how the settings of a process are loaded."""

import os
import re
import ssl
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.settings import addresses
from schemas.settings.misspelled import Misspelling, misspellings
from schemas.settings.sources import Environment, InjectedRedisPort, SettingsError, read_env_file

__all__ = ["Hours", "NonNegativeSeconds", "Seconds", "Secret", "Settings", "SettingsError"]


def _certificates(path: Path | None) -> Path | None:
    if path is not None:
        try:
            ssl.create_default_context(cafile=path)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"no certificates can be read there: {error.strerror}") from None
    return path


def _not_blank(secret: SecretStr | None) -> SecretStr | None:
    """Refuse a secret of blanks. An empty value counts as not set."""
    if secret is not None and not secret.get_secret_value().strip():
        raise ValueError("is blank")
    return secret


def _lowered(text: object) -> object:
    return text.lower() if isinstance(text, str) else text


Secret = Annotated[SecretStr | None, AfterValidator(_not_blank)]

_YEAR = 365 * 86_400
Seconds = Annotated[float, Field(gt=0, le=_YEAR)]
NonNegativeSeconds = Annotated[float, Field(ge=0, le=_YEAR)]
Hours = Annotated[float, Field(gt=0, le=10 * 8760)]


class Settings(BaseSettings):
    """Settings from the environment, then from `.env`; an empty value counts as not set."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        case_sensitive=False,
        allow_inf_nan=False,
    )

    redis_host: Annotated[str, AfterValidator(addresses.redis_host)] = Field(
        "localhost", description="Redis server (compose sets `redis`)"
    )
    redis_port: Annotated[int, BeforeValidator(addresses.service_port)] = Field(
        6379, ge=1, le=65535, description="Redis port"
    )
    redis_url: Annotated[str | None, AfterValidator(addresses.redis_url)] = Field(
        None,
        description="Full Redis address (TLS, user, database); replaces REDIS_HOST and REDIS_PORT",
    )
    redis_username: str | None = Field(None, description="ACL user, if REDIS_URL names none")
    redis_password: Secret = Field(None, description="Password, if REDIS_URL has none")
    redis_tls: bool = Field(
        default=False, description="`true`: TLS to Redis and its Sentinels; `rediss://` implies it"
    )
    redis_ca_file: Annotated[Path | None, AfterValidator(_certificates)] = Field(
        None, description="CA certificates (PEM) to verify the server with; empty: the system's"
    )
    redis_cert_file: Path | None = Field(
        None, description="Client certificate (PEM), if the server requires one"
    )
    redis_key_file: Path | None = Field(None, description="Key of the client certificate (PEM)")
    redis_sentinels: Annotated[str, AfterValidator(addresses.server_list)] = Field(
        "", description="`host:port` of each Sentinel, separated by commas; replaces REDIS_URL, "
        "REDIS_HOST and REDIS_PORT",
    )  # fmt: skip
    redis_cluster_nodes: Annotated[str, AfterValidator(addresses.server_list)] = Field(
        "", description="`host:port` of some nodes of a Redis Cluster, separated by commas; "
        "replaces REDIS_URL, REDIS_HOST and REDIS_PORT",
    )  # fmt: skip
    redis_sentinel_master: str = Field(
        "mymaster", description="Name of the master in the Sentinels' configuration"
    )
    redis_sentinel_password: Secret = Field(
        None, description="Password of the Sentinels themselves, if they require one"
    )
    key_prefix: str = Field(
        "{plates}",
        pattern=r"^\{[^{}]+\}$",
        description="Prefix of all keys; the braces keep them in one slot",
    )
    tasks_storage_url: Annotated[str, AfterValidator(addresses.storage_address)] = Field(
        "",
        description="Storage address (`file:///…`, `s3://…`, `gs://…`, `az://…`); empty: folder "
        "`tasks_storage`",
    )
    task_storage_ttl_hours: Hours = Field(
        48, description="Lifetime of a task: its keys in Redis and its files"
    )
    max_files_per_request: int = Field(
        50, ge=1, le=1000, description="Maximum number of images in a task"
    )
    max_file_size_bytes: int = Field(20_971_520, ge=1, description="Maximum bytes of an image file")
    inline_max_bytes: int = Field(
        1_048_576, ge=0, description="Maximum bytes of an image inside a stream entry"
    )
    public_url: Annotated[str, AfterValidator(addresses.public_url)] = Field(
        "", description="Address of the producer for clients, with a proxy's path prefix, e.g. "
        "`https://example.org/plates`: result URLs and `Location` begin with it; empty: they are "
        "paths",
    )  # fmt: skip
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(_lowered)
    ] = Field("info", description="Lowest level that is logged")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: readable in a terminal, JSON elsewhere"
    )
    log_filenames: bool = Field(
        default=False,
        description="`true`: log lines may contain file names, and messages of unexpected errors, "
        "which may quote them",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - one of our own instead
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - there are none
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, the most important first; what Kubernetes sets comes last."""
        environment, injected = Environment(settings_cls), InjectedRedisPort(settings_cls)
        return init_settings, environment, dotenv_settings, injected

    _misspelled: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _check_redis(self) -> Self:
        ways = ("redis_sentinels", "redis_cluster_nodes", "redis_url")
        named = [name.upper() for name in ways if getattr(self, name)]
        if len(named) > 1:
            raise ValueError(f"{' and '.join(named)} exclude each other")
        if self.redis_tls and self.redis_url and not self.uses_tls_url:
            raise ValueError("REDIS_TLS needs a REDIS_URL that begins with rediss://")
        files = (self.redis_ca_file, self.redis_cert_file, self.redis_key_file)
        if any(files) and not self.uses_tls:
            raise ValueError("REDIS_*_FILE need TLS: set REDIS_TLS=true or a rediss:// REDIS_URL")
        if self.redis_key_file is not None and self.redis_cert_file is None:
            raise ValueError("REDIS_KEY_FILE needs its REDIS_CERT_FILE")
        if self.redis_cert_file is not None:
            try:
                ssl.create_default_context().load_cert_chain(
                    self.redis_cert_file, self.redis_key_file
                )
            except (OSError, ssl.SSLError) as error:
                raise ValueError(
                    f"REDIS_CERT_FILE and REDIS_KEY_FILE cannot be used: {error.strerror}"
                ) from None
        return self

    @property
    def uses_tls_url(self) -> bool:
        """Whether REDIS_URL begins with `rediss://`."""
        return self.redis_url is not None and self.redis_url.startswith("rediss://")

    @property
    def uses_tls(self) -> bool:
        """Whether connections to Redis are encrypted."""
        return self.redis_tls or self.uses_tls_url

    @property
    def sentinels(self) -> list[tuple[str, int]]:
        """Host and port of each Sentinel."""
        return addresses.servers(self.redis_sentinels)

    @property
    def cluster_nodes(self) -> list[tuple[str, int]]:
        """Host and port of some nodes of a Redis Cluster."""
        return addresses.servers(self.redis_cluster_nodes)

    @property
    def task_ttl_ms(self) -> int:
        """Lifetime of a task in milliseconds."""
        return int(self.task_storage_ttl_hours * 3_600_000)

    @property
    def storage_url(self) -> str:
        """Storage address; the default folder is in the working directory."""
        return self.tasks_storage_url or (Path.cwd() / "tasks_storage").as_uri()

    @property
    def redis_address(self) -> str:
        """The Redis URL to connect to, without Sentinels and cluster."""
        scheme = "rediss" if self.redis_tls else "redis"
        return (
            self.redis_url or f"{scheme}://{addresses.in_url(self.redis_host)}:{self.redis_port}/0"
        )

    @property
    def redis_place(self) -> str:
        """Where Redis is, for log lines: without user and password."""
        if self.redis_sentinels:
            return f"the master {self.redis_sentinel_master} of Sentinels {self.redis_sentinels}"
        if self.redis_cluster_nodes:
            return f"the Redis Cluster of {self.redis_cluster_nodes}"
        where = urlsplit(self.redis_address)
        return f"{addresses.in_url(where.hostname or '')}:{where.port or 6379}"

    @property
    def misspelled(self) -> tuple[str, ...]:
        """One sentence for each variable that is probably a misspelled setting."""
        return self._misspelled

    @classmethod
    def load(cls) -> Self:
        """Read and check all settings once.

        Raises:
            SettingsError: one line that names each wrong variable and the reason, or what is wrong
                with `.env`, or the misspelled name of a key or secret.
        """
        found = list(_find_misspelled())
        if stopping := [sentence for misspelling, sentence in found if misspelling.stops]:
            raise SettingsError("; ".join(stopping))
        try:
            settings = cls()
        except ValidationError as error:
            raise SettingsError("; ".join(_lines(error.errors()))) from None
        settings._misspelled = tuple(sentence for _, sentence in found)
        return settings


def _find_misspelled() -> Iterator[tuple[Misspelling, str]]:
    file = read_env_file()
    in_file = {name: assignment.value for name, assignment in file.items()}
    all_set = {name.upper() for name, value in (*in_file.items(), *os.environ.items()) if value}
    for found in misspellings(in_file, all_set=all_set, is_file=True):
        yield found, found.sentence(f".env line {file[found.name].line}")
    for found in misspellings(os.environ, all_set=all_set, is_file=False):
        yield found, found.sentence("the environment")


def _lines(problems: list[ErrorDetails]) -> Iterator[str]:
    """Yield one line per setting; a value of a union type has a problem with each type."""
    for where, group in groupby(problems, key=lambda problem: problem["loc"][:1]):
        of_setting = list(group)
        reasons = " or ".join(dict.fromkeys(problem["msg"] for problem in of_setting))
        if not where:  # of several settings together; the message names them
            yield reasons
            continue
        name, value = str(where[0]).upper(), of_setting[0]["input"]
        # A secret, or an address that may carry a password, must not end up in a log.
        is_secret = name.endswith(("_URL", "_SECRET", "_KEYS", "_PASSWORD", "_PROXY"))
        is_secret = is_secret or bool(re.search(r":.*@", str(value)))
        yield f"{name}={'…' if is_secret else repr(value)}: {reasons}"
