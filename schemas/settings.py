"""Settings that every process shares, and the one way in which settings are read."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict


class SettingsError(Exception):
    """A setting has a wrong value. The message is one line that names it."""


def _known_storage_scheme(url: str) -> str:
    if url and not url.startswith(("file://", "s3://")):
        raise ValueError("must start with file:// or s3://")
    return url


class Settings(BaseSettings):
    """Read from the environment, then from `.env`; an empty value counts as not set."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        case_sensitive=False,
    )

    redis_host: str = Field("localhost", description="Redis server (compose sets `redis`)")
    redis_port: int = Field(6379, ge=1, le=65535, description="Redis port")
    redis_url: str | None = Field(
        None, description="Full Redis address (TLS, user, database); wins over host and port"
    )
    key_prefix: str = Field(
        "{plates}", pattern=r"^\{[^{}]+\}$", description="Prefix of all keys; braces keep one slot"
    )
    tasks_storage_url: Annotated[str, AfterValidator(_known_storage_scheme)] = Field(
        "", description="Storage address (`file:///…`, `s3://…`); empty: folder `tasks_storage`"
    )
    task_storage_ttl_hours: float = Field(
        48, gt=0, description="Life of a task: its keys in Redis and its files"
    )
    max_files_per_request: int = Field(50, ge=1, le=1000, description="Most images of one task")
    max_file_size_bytes: int = Field(20_971_520, ge=1, description="Most bytes of one image file")
    inline_max_bytes: int = Field(
        1_048_576, ge=0, description="Most image bytes inside a stream entry"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log line that is written"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto`: readable in a terminal, JSON elsewhere"
    )

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
        """The Redis URL to connect to."""
        return self.redis_url or f"redis://{self.redis_host}:{self.redis_port}/0"

    @classmethod
    def load(cls) -> Self:
        """Read and check all settings once.

        Raises:
            SettingsError: one line naming each wrong variable and why.
        """
        try:
            return cls()
        except ValidationError as error:
            raise SettingsError("; ".join(map(_one_line, error.errors()))) from None


def _one_line(problem: ErrorDetails) -> str:
    name = "_".join(str(part) for part in problem["loc"]).upper()
    # A secret, or an address that may carry a password, must not end up in a log.
    value = "…" if name.endswith(("_URL", "_SECRET", "_KEYS")) else repr(problem["input"])
    return f"{name}={value}: {problem['msg']}"
