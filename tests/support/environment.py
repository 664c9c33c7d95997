"""Tests and their processes have settings of their own."""

import os

from schemas.settings.misspelled import SETTINGS, misspellings


def forget_settings() -> None:
    """Drop the user's settings from this process and from those that it starts.

    With the address of a service in use among them, its files would be swept away as files of no
    task, and its backend called.
    """
    misspelt = {found.name for found in misspellings(os.environ, all_set=(), is_file=False)}
    for name in [name for name in os.environ if name.upper() in SETTINGS or name in misspelt]:
        del os.environ[name]
