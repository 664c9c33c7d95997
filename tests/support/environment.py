"""Tests and their processes do not use the settings of the user."""

import os

from schemas.settings.misspelled import SETTINGS, misspellings


def forget_settings() -> None:
    """Remove the user's settings from this process and from those that it starts.

    Otherwise tests could reach a service in use: delete its files and call its backend.
    """
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        del os.environ[name]
    misspelt = {found.name for found in misspellings(os.environ, all_set=(), is_file=False)}
    for name in [name for name in os.environ if name.upper() in SETTINGS or name in misspelt]:
        del os.environ[name]
