"""What the processes under load are told: the user's ways of working, none of the user's places.

Pointed at the service that is in use, a bench with a Redis of its own would sweep that service's
files away, as files of no task, and call its backend.
"""

import os
import sys
from pathlib import Path

from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from cli import guard
from cli.settings_table import MODELS
from consumer.settings import WorkerSettings
from schemas.settings.base import Settings

_PLACES = {
    "allowed_origins", "api_keys", "backend_callback_url", "backend_upload_url",
    "embedded_redis_port", "host", "key_prefix", "log_level", "metrics_port", "port", "public_url",
    "tasks_storage_url", "trust_forwarded_prefix", "webhook_secret",
}  # fmt: skip
_SETTINGS = {name for model in MODELS.values() for name in model.model_fields}
_TUNING = {name for name in _SETTINGS - _PLACES if not name.startswith("redis_")}


def tuning() -> dict[str, str]:
    """Settings of how to work, as the environment and `.env` have them; nothing that is empty."""
    found: dict[str, str | None] = {}
    for source in (DotEnvSettingsSource, EnvSettingsSource):  # the environment wins
        found |= source(Settings).env_vars
    return {name.upper(): value for name, value in found.items() if value and name in _TUNING}


def environment() -> dict[str, str]:
    """The environment of a process under load; it must run in a folder without a `.env`.

    Raises SettingsError if a setting of the worker is wrong.
    """
    worker = WorkerSettings.load()
    return {
        **{name: text for name, text in os.environ.items() if name.lower() not in _SETTINGS},
        **tuning(),
        # Relative to the folder that the bench was started in, as its modules may be.
        "MODEL_PATH": str(worker.model_path.absolute()),
        "COVER_IMAGE_PATH": str(worker.cover_image_path.absolute()),
        "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path),
        guard.PARENT: str(os.getpid()),
    }
