"""The size of the detector's input: the worker's setting, whatever size the file was made for."""

from __future__ import annotations

import sys

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from consumer.vision.detect.checkpoint import DEFAULT_IMGSZ


class _WorkerSize(BaseSettings):
    # Read as in WorkerSettings, which this package may not import.
    model_config = SettingsConfigDict(
        env_file=".env", env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore"
    )

    detect_imgsz: int = Field(DEFAULT_IMGSZ, ge=64, le=4096, multiple_of=32)


def worker_imgsz() -> int:
    """Return the worker's DETECT_IMGSZ, in pixels, from the environment or ``.env``.

    Raises:
        ValueError: the setting is not a valid size; the message is one line.
    """
    try:
        return _WorkerSize().detect_imgsz
    except ValidationError as error:
        raise ValueError(f"DETECT_IMGSZ: {error.errors()[0]['msg']}") from error


def warn_of_other_size(name: str, made_for: int, used: int) -> None:
    """Warn on standard error if the model file ``name`` was made for another size, in pixels."""
    if made_for != used:
        print(
            f"{name} was made for {made_for} px and is used at {used} px;"
            " the worker uses DETECT_IMGSZ",
            file=sys.stderr,
        )
