"""`plate-detect settings`: every setting, for people and for the documentation."""

from typing import Annotated

import typer

from cli import settings_table
from cli.output import print_table


def settings(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As the documentation's table.")
    ] = False,
    env: Annotated[bool, typer.Option("--env", help="As the text of .env.example.")] = False,
    names: Annotated[bool, typer.Option("--names", help="Only the names, one per line.")] = False,
) -> None:
    """Show every setting: its name, default, meaning, and which roles read it."""
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
