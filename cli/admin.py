"""What the administration commands share: connections, selection by age and reason, tables."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.settings.base import SettingsError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from producer.settings import ProducerSettings
    from schemas.redis.keys import Keys
    from schemas.storage.storage import Storage

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PIPE_WIDTH = 400


class OperatorError(Exception):
    """A command cannot do what it was asked. The message is one line."""


def seconds(text: str) -> float:
    """An age as one writes it: `90s`, `15m`, `2h`, `3d`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        raise typer.BadParameter("write an age as 90s, 15m, 2h or 3d")
    return float(match[1]) * _UNITS[match[2]]


Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Only these.")]
Reason = Annotated[str, typer.Option(help="Only those with this reason.")]
Task = Annotated[str, typer.Option(help="Only those of this task.")]
Older = Annotated[
    float | None, typer.Option("--older-than", parser=seconds, metavar="AGE", help="E.g. 2h.")
]
Newer = Annotated[
    float | None, typer.Option("--newer-than", parser=seconds, metavar="AGE", help="E.g. 30m.")
]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
All = Annotated[bool, typer.Option("--all", help="All of them, if no other choice is made.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@dataclass(frozen=True)
class AdminContext:
    """Connections of one command."""

    settings: "ProducerSettings"
    redis: "Redis"
    keys: "Keys"
    storage: "Storage"


@dataclass
class Summary:
    """The outcome of each item of a command, printed at once."""

    as_json: bool
    failed: int = 0
    done: int = 0

    def tell(self, item_id: str, outcome: str, **more: str) -> None:
        """One that went well, or would."""
        self.done += 1
        if self.as_json:
            print_json({"id": item_id, "outcome": outcome, **more})
        else:
            print(" ".join([item_id, outcome, *more.values()]))

    def fail(self, item_id: str, reason: str) -> None:
        """One that did not; the command goes on, and ends with status 1."""
        self.failed += 1
        if self.as_json:
            print_json({"id": item_id, "outcome": "error", "error": reason})
        else:
            print(f"plate-detect: {printable(item_id)}: {reason}", file=sys.stderr)

    def end(self, nothing: str) -> None:
        """Say if there was nothing to do, and end with the right status."""
        if not self.done + self.failed and not self.as_json:
            print(nothing, file=sys.stderr)
        if self.failed:
            raise typer.Exit(1)


def run_command(work: Callable[[AdminContext], Awaitable[None]]) -> None:
    """Run a command's work with its connections; whatever fails is one line and status 1."""
    from redis.exceptions import RedisError

    from schemas.storage.storage import StorageError

    try:
        asyncio.run(_work(work))
    except (SettingsError, OperatorError) as error:
        fail(str(error))
    except StorageError as error:
        fail(f"storage: {error}")
    except RedisError as error:
        fail(f"Redis did not answer as it should: {type(error).__name__}: {error}")
    except OSError as error:
        fail(str(error))


def check_choice(ids: Sequence[str] | None, filters: Iterable[object], *, everything: bool) -> None:
    """Refuse to change everything because nothing was chosen; raises OperatorError."""
    filtered = any(value not in (None, "", ()) for value in filters)
    if [bool(ids), filtered, everything].count(True) != 1:
        raise OperatorError("say which: ids, or a filter (see --help), or --all")


def print_json(row: dict[str, Any]) -> None:
    """One line."""
    print(orjson.dumps(row).decode())


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows below their headings; whole, if it is not a terminal that reads them."""
    table = Table(*columns, box=None)
    for row in rows:
        table.add_row(*(escape(printable(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def print_fields(fields: dict[str, str]) -> None:
    """One field per line."""
    width = max(map(len, fields))
    for name, value in fields.items():
        print(f"{printable(name):<{width}}  {printable(value)}")


def printable(text: str) -> str:
    """Text from outside without what a terminal would obey."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def age(of_seconds: float) -> str:
    """A time span in its largest fitting unit."""
    unit = next((u for u in "dhm" if of_seconds >= _UNITS[u]), "s")
    return f"{of_seconds / _UNITS[unit]:.0f}{unit}"


async def _work(work: Callable[[AdminContext], Awaitable[None]]) -> None:
    async with _open_context() as context:
        await work(context)


@asynccontextmanager
async def _open_context() -> AsyncIterator[AdminContext]:
    from redis.exceptions import AuthenticationError
    from redis.exceptions import ConnectionError as RedisConnectionError
    from redis.exceptions import TimeoutError as RedisTimeoutError

    from producer.settings import ProducerSettings
    from schemas.redis.client import connect
    from schemas.redis.keys import Keys
    from schemas.storage.storage import Storage

    settings = ProducerSettings.load()
    embedded = _embedded_address(Path.cwd() / "var")
    if embedded is not None:
        settings = settings.model_copy(update={"redis_url": embedded})
    async with connect(settings) as redis:
        try:
            yield AdminContext(
                settings, redis, Keys(settings.key_prefix), Storage.open(settings.storage_url)
            )
        except AuthenticationError as error:
            raise OperatorError(f"Redis at {settings.redis_place}: {error}") from None
        except (RedisConnectionError, RedisTimeoutError):
            # Never the address as it is: it may carry a password.
            raise OperatorError(f"Redis cannot be reached at {settings.redis_place}") from None


def _embedded_address(folder: Path) -> str | None:
    """The server of a `plate-detect run` in this folder, where the settings name no other."""
    from cli.embedded import RunSettings

    file = folder / "redis" / "port"
    if RunSettings.load().names_redis or not file.exists():
        return None
    try:
        port = int(file.read_text(encoding="utf-8"))
    except ValueError:
        port = 0
    if not 0 < port < 65536:
        raise OperatorError(f"{file} names no port; `plate-detect run` writes it anew")
    return f"redis://127.0.0.1:{port}/0"


def fail(reason: str) -> NoReturn:
    print(f"plate-detect: {reason}", file=sys.stderr)
    raise typer.Exit(1)
