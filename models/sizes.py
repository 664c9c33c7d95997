"""At which size a detector is asked: the worker's, whatever size its file was made for."""

from __future__ import annotations

import sys

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from consumer.vision.checkpoint import DEFAULT_IMGSZ


class _Worker(BaseSettings):
    # Read as in WorkerSettings: this package must not know more of the service than its vision.
    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore"
    )

    detect_imgsz: int = Field(DEFAULT_IMGSZ, ge=64, le=4096, multiple_of=32)


def worker_imgsz() -> int:
    """Return the worker's DETECT_IMGSZ, in pixels, from the environment or `.env`.

    Raises ValueError: it is no size; the message is one line.
    """
    try:
        return _Worker().detect_imgsz
    except ValidationError as error:
        raise ValueError(f"DETECT_IMGSZ: {error.errors()[0]['msg']}") from error


def tell_other_size(name: str, made_for: int, asked: int) -> None:
    """Say on standard error if the model file ``name`` was made for another size, in pixels."""
    if made_for != asked:
        print(
            f"{name} was made for {made_for} px, and is asked at {asked} px;"
            " the worker asks at DETECT_IMGSZ",
            file=sys.stderr,
        )
