"""`plate-detect`: the operator's commands."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from schemas.settings import SettingsError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Covers vehicle licence plates in images.",
)


@app.callback()
def _commands() -> None:
    """Keep `run` a command of its own however many there are."""


@app.command()
def run(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
) -> None:
    """Start everything on this machine; Ctrl-C stops it.

    A Redis-compatible server is started too, unless REDIS_HOST or REDIS_URL names one. What it
    keeps lies in ./var, results in ./tasks_storage.
    """
    from cli import runner

    try:
        runner.run(workers, Path.cwd() / "var")
    except (SettingsError, runner.RunError) as error:
        _fail(str(error))


def _fail(reason: str) -> None:
    print(f"plate-detect: {reason}", file=sys.stderr)
    raise typer.Exit(1)
