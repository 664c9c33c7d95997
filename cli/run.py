"""`plate-detect run`: start everything."""

from pathlib import Path
from typing import Annotated

import typer

from cli import runner
from cli.launcher import LaunchError
from cli.output import fail
from schemas.settings.base import SettingsError


def run(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
) -> None:
    """Start everything on this machine; Ctrl-C stops it.

    A Redis-compatible server is started too, unless REDIS_HOST or REDIS_URL names one. Its data
    is in ./var, results are in ./tasks_storage.
    """
    try:
        runner.run(workers, Path.cwd() / "var")
    except (SettingsError, LaunchError, OSError) as error:
        fail(str(error))
