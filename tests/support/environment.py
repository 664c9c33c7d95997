"""Tests and their processes have settings of their own."""

import os

from cli.settings_table import MODELS


def forget_settings() -> None:
    """Drop the user's settings from this process and from those that it starts.

    With the address of a service in use among them, its files would be swept away as files of no
    task, and its backend called.
    """
    names = {name for model in MODELS.values() for name in model.model_fields}
    for name in [name for name in os.environ if name.lower() in names]:
        del os.environ[name]
