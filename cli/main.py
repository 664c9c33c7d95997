"""`plate-detect`: which commands there are, and where each is."""

from typing import Annotated

import typer

from cli.lazy import Place, lazy_group
from schemas.version import VERSION

PLACES = {
    "cover": Place(
        "cli.images.cover:cover",
        "Cover the plates of images on this machine, without a server and without Redis.",
    ),
    "submit": Place(
        "cli.images.submit:submit",
        "Send images to a service over HTTP, and print the ids of their tasks.",
    ),
    "export": Place(
        "cli.export:export",
        "Write a checkpoint for another runtime; refused unless it finds the same plates there.",
    ),
    "config": Place(
        "cli.config:config",
        "Show the settings that are in effect here, and where each comes from.",
    ),
    "doctor": Place(
        "cli.doctor.command:doctor",
        "Check what the service needs here, and say how to mend what is wrong.",
    ),
    "export-labels": Place(
        "cli.admin.labels:export_labels",
        "Write the covers that people have added as YOLO-OBB labels, for training.",
    ),
    "run": Place("cli.run:run", "Start everything on this machine; Ctrl-C stops it."),
    "settings": Place(
        "cli.settings:settings",
        "Show every setting: its name, default, meaning, and which roles read it.",
    ),
    "tasks": Place("cli.admin.tasks:app", "Tasks: what is known of them, and their deletion."),
    "dead-letters": Place(
        "cli.admin.dead_letters:app",
        "Images that were dead-lettered: too many deliveries, or a broken contract.",
    ),
    "deliveries": Place(
        "cli.admin.deliveries:app", "Webhooks that wait for an attempt, or are dead."
    ),
}

app = typer.Typer(
    cls=lazy_group(PLACES),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Covers vehicle licence plates in images.",
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"plate-detect {VERSION}")
        raise typer.Exit


@app.callback()
def plate_detect(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Make a group of an app that has no command of its own."""
