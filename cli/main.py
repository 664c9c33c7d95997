"""`plate-detect`: the operator's commands."""

from pathlib import Path
from typing import Annotated

import typer

from cli import config, export
from cli.admin import dead_letters, deliveries, labels, tasks
from cli.doctor import command as doctor
from cli.images import cover, submit
from cli.output import fail, print_table
from schemas.settings.base import SettingsError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Covers vehicle licence plates in images.",
)
app.add_typer(tasks.app, name="tasks")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(deliveries.app, name="deliveries")
app.command()(cover.cover)
app.command()(submit.submit)
app.command()(export.export)
app.command()(config.config)
app.command()(doctor.doctor)
app.command()(labels.export_labels)


@app.command()
def run(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
) -> None:
    """Start everything on this machine; Ctrl-C stops it.

    A Redis-compatible server is started too, unless REDIS_HOST or REDIS_URL names one. Its data
    is in ./var, results are in ./tasks_storage.
    """
    from cli import runner
    from cli.launcher import LaunchError

    try:
        runner.run(workers, Path.cwd() / "var")
    except (SettingsError, LaunchError, OSError) as error:
        fail(str(error))


@app.command("settings")
def show_settings(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As the documentation's table.")
    ] = False,
    env: Annotated[bool, typer.Option("--env", help="As the text of .env.example.")] = False,
    names: Annotated[bool, typer.Option("--names", help="Only the names, one per line.")] = False,
) -> None:
    """Show every setting: its name, default, meaning, and which roles read it."""
    from cli import settings_table

    texts = (
        (markdown, settings_table.markdown), (env, settings_table.dotenv),
        (names, settings_table.names),
    )  # fmt: skip
    for is_wanted, text in texts:
        if is_wanted:
            print(text(), end="")
            return
    rows = [(s.name, s.default, s.meaning, s.readers) for s in settings_table.settings()]
    print_table(("variable", "default", "meaning", "read by"), rows)
