"""Settings that every process shares, and the one way in which settings are read."""

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

from schemas.settings import addresses, env_file
from schemas.settings.environment import ChosenEnvironment, InjectedEnvironment
from schemas.settings.misspelled import Doubt, doubts


class SettingsError(Exception):
    """A setting has a wrong value. The message is one line that names it."""


def _certificates(path: Path | None) -> Path | None:
    if path is not None:
        try:
            ssl.create_default_context(cafile=path)
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"no certificates can be read there: {error.strerror}") from None
    return path


def _not_blank(secret: SecretStr | None) -> SecretStr | None:
    """An empty value counts as not set; one of blanks was meant to be a secret."""
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
    """Read from the environment, then from `.env`; an empty value counts as not set."""

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
        None, description="Full Redis address (TLS, user, database); wins over host and port"
    )
    redis_username: str | None = Field(None, description="ACL user, if REDIS_URL names none")
    redis_password: Secret = Field(None, description="Password, if REDIS_URL has none")
    redis_tls: bool = Field(
        default=False, description="`true`: TLS to Redis and its Sentinels; `rediss://` implies it"
    )
    redis_ca_file: Annotated[Path | None, AfterValidator(_certificates)] = Field(
        None, description="CA certificates (PEM) that vouch for the server; empty: the system's"
    )
    redis_cert_file: Path | None = Field(
        None, description="Client certificate (PEM), if the server asks for one"
    )
    redis_key_file: Path | None = Field(None, description="Key of the client certificate (PEM)")
    redis_sentinels: Annotated[str, AfterValidator(addresses.sentinel_list)] = Field(
        "", description="`host:port` of the Sentinels that know the master, by commas; instead of "
        "REDIS_URL, host and port",
    )  # fmt: skip
    redis_sentinel_master: str = Field(
        "mymaster", description="Name of the master among the Sentinels"
    )
    redis_sentinel_password: Secret = Field(
        None, description="Password of the Sentinels themselves, if they ask for one"
    )
    key_prefix: str = Field(
        "{plates}", pattern=r"^\{[^{}]+\}$", description="Prefix of all keys; braces keep one slot"
    )
    tasks_storage_url: Annotated[str, AfterValidator(addresses.storage_address)] = Field(
        "", description="Storage address (`file:///…`, `s3://…`); empty: folder `tasks_storage`"
    )
    task_storage_ttl_hours: Hours = Field(
        48, description="Life of a task: its keys in Redis and its files"
    )
    max_files_per_request: int = Field(50, ge=1, le=1000, description="Most images of one task")
    max_file_size_bytes: int = Field(20_971_520, ge=1, description="Most bytes of one image file")
    inline_max_bytes: int = Field(
        1_048_576, ge=0, description="Most image bytes inside a stream entry"
    )
    public_url: Annotated[str, AfterValidator(addresses.public_url)] = Field(
        "", description="Where clients reach the producer, with the path prefix of a proxy, e.g. "
        "`https://example.org/plates`: result URLs and `Location` begin with it; empty: they are "
        "paths",
    )  # fmt: skip
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], BeforeValidator(_lowered)
    ] = Field("info", description="Least severe log line that is written")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: readable in a terminal, JSON elsewhere"
    )
    log_filenames: bool = Field(
        default=False,
        description="`true`: log lines may tell the names of files, and the texts of unforeseen "
        "errors, which may quote them",
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
        """What was chosen, and only then what Kubernetes adds to every environment."""
        chosen, injected = ChosenEnvironment(settings_cls), InjectedEnvironment(settings_cls)
        return init_settings, chosen, dotenv_settings, injected

    _doubtful: tuple[str, ...] = PrivateAttr(())

    @model_validator(mode="after")
    def _redis_hangs_together(self) -> Self:
        if self.redis_sentinels and self.redis_url:
            raise ValueError("REDIS_SENTINELS and REDIS_URL exclude each other")
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
        """Whether REDIS_URL asks for TLS."""
        return self.redis_url is not None and self.redis_url.startswith("rediss://")

    @property
    def uses_tls(self) -> bool:
        """Whether connections to Redis are encrypted."""
        return self.redis_tls or self.uses_tls_url

    @property
    def sentinels(self) -> list[tuple[str, int]]:
        """Host and port of each Sentinel."""
        parts = [item.strip().rpartition(":") for item in self.redis_sentinels.split(",") if item]
        return [(host.strip("[]"), int(port)) for host, _, port in parts]

    @property
    def task_ttl_ms(self) -> int:
        """Life of a task in milliseconds."""
        return int(self.task_storage_ttl_hours * 3_600_000)

    @property
    def storage_url(self) -> str:
        """Storage address; the default folder lies where the process was started."""
        return self.tasks_storage_url or (Path.cwd() / "tasks_storage").as_uri()

    @property
    def redis_address(self) -> str:
        """The Redis URL to connect to, where no Sentinels are asked."""
        scheme = "rediss" if self.redis_tls else "redis"
        return (
            self.redis_url or f"{scheme}://{addresses.in_url(self.redis_host)}:{self.redis_port}/0"
        )

    @property
    def redis_place(self) -> str:
        """Where Redis is, for people: without user and password."""
        if self.redis_sentinels:
            return f"the master {self.redis_sentinel_master} of Sentinels {self.redis_sentinels}"
        where = urlsplit(self.redis_address)
        return f"{addresses.in_url(where.hostname or '')}:{where.port or 6379}"

    @property
    def doubtful(self) -> tuple[str, ...]:
        """One sentence for each variable that is probably meant to be a setting, and is none."""
        return self._doubtful

    @classmethod
    def load(cls) -> Self:
        """Read and check all settings once.

        Raises:
            SettingsError: one line naming each wrong variable and why, or what is wrong with
                `.env`, or a name that was probably meant to be that of a key or secret.
        """
        try:
            found = list(_doubts())
            if stopping := [sentence for doubt, sentence in found if doubt.stops]:
                raise SettingsError("; ".join(stopping))
            settings = cls()
        except env_file.EnvFileError as error:
            raise SettingsError(str(error)) from None
        except ValidationError as error:
            raise SettingsError("; ".join(_lines(error.errors()))) from None
        settings._doubtful = tuple(sentence for _, sentence in found)
        return settings


def _doubts() -> Iterator[tuple[Doubt, str]]:
    """Variables that nothing reads but that are probably meant for us, each with its sentence."""
    file = env_file.read()
    written = {name: assignment.value for name, assignment in file.items()}
    all_set = {name.upper() for name, value in (*written.items(), *os.environ.items()) if value}
    for doubt in doubts(written, all_set=all_set, is_file=True):
        yield doubt, doubt.sentence(f".env line {file[doubt.name].line}")
    for doubt in doubts(os.environ, all_set=all_set, is_file=False):
        yield doubt, doubt.sentence("the environment")


def _lines(problems: list[ErrorDetails]) -> Iterator[str]:
    """One line per setting; one that may be of several kinds has a problem with each."""
    for name, group in groupby(problems, key=lambda problem: problem["loc"][:1]):
        alike = list(group)
        reasons = " or ".join(dict.fromkeys(problem["msg"] for problem in alike))
        yield _one_line(str(name[0]).upper() if name else "", alike[0]["input"], reasons)


def _one_line(name: str, value: object, reason: str) -> str:
    if not name:  # of several settings together; the message names them
        return reason
    # A secret, or an address that may carry a password, must not end up in a log.
    secret = name.endswith(("_URL", "_SECRET", "_KEYS", "_PASSWORD", "_PROXY"))
    secret = secret or bool(re.search(r":.*@", str(value)))
    return f"{name}={'…' if secret else repr(value)}: {reason}"
