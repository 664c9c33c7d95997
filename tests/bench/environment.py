"""The environment of processes under load: how the user's service works, but not where.

With the address of a service in use, a benchmark with a Redis of its own would delete that
service's files, as files of no task, and call its backend.
"""

import os
import sys
from pathlib import Path

from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

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
    """Return settings that name no place and no secret, as the environment and `.env` have them."""
    found: dict[str, str | None] = {}
    for source in (DotEnvSettingsSource, EnvSettingsSource):  # the environment wins
        found |= source(Settings).env_vars
    return {name.upper(): value for name, value in found.items() if value and name in _TUNING}


def environment() -> dict[str, str]:
    """Return the environment of a process under load; it must run in a folder without a `.env`.

    Raises SettingsError if a setting of the worker is wrong.
    """
    worker = WorkerSettings.load()
    return {
        **{name: text for name, text in os.environ.items() if name.lower() not in _SETTINGS},
        **tuning(),
        # Relative to the folder that the benchmark was started in, as its modules may be.
        "MODEL_PATH": str(worker.model_path.absolute()),
        "COVER_IMAGE_PATH": str(worker.cover_image_path.absolute()),
        "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path),
    }
