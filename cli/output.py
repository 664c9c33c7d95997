"""What the commands print: tables, fields, JSON, and the one line of an error."""

import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PIPE_WIDTH = 400


class OperatorError(Exception):
    """A command cannot do what it was asked. The message is one line."""


def as_json(value: Any) -> str:
    """Return one line of JSON."""
    return orjson.dumps(value).decode()


def print_json(row: dict[str, Any]) -> None:
    """Print one line."""
    print(as_json(row))


def print_table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below their headings, without cutting them where no terminal reads them."""
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def print_fields(fields: dict[str, str]) -> None:
    """Print one field per line."""
    width = max(map(len, fields))
    for name, value in fields.items():
        print(f"{printable(name):<{width}}  {printable(value)}")


def printable(text: str) -> str:
    """Return text from outside without characters that control a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def age(of_seconds: float) -> str:
    """Return a time span in its largest fitting unit."""
    unit = next((u for u in "dhm" if of_seconds >= UNITS[u]), "s")
    return f"{of_seconds / UNITS[unit]:.0f}{unit}"


def fail(reason: str) -> NoReturn:
    """End a command with one line and status 1."""
    print(f"plate-detect: {reason}", file=sys.stderr)
    raise typer.Exit(1)
