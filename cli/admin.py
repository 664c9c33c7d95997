"""The administration commands: `list`, `show`, `replay` and `purge`, for any kind of item.

`dead_letters` and `deliveries` say what their items are; options, selection and output are here.
"""

import asyncio
import inspect
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import typer
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from cli import embedded
from cli.output import UNITS, age, fail, print_fields, print_json, print_table, printable
from consumer.dispatcher.deliveries import DeliveryRecord
from producer.settings import ProducerSettings
from schemas.logs import described
from schemas.redis.client import connect
from schemas.redis.dead_letters import DeadLetter
from schemas.redis.keys import Keys
from schemas.settings.base import SettingsError
from schemas.storage.storage import Storage, StorageError


class OperatorError(Exception):
    """A command cannot do what it was asked. The message is one line."""


def seconds(text: str) -> float:
    """Return the seconds of an age as one writes it: `90s`, `15m`, `2h`, `3d`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        raise typer.BadParameter("write an age as 90s, 15m, 2h or 3d")
    return float(match[1]) * UNITS[match[2]]


Item = DeadLetter | DeliveryRecord


@dataclass(frozen=True, kw_only=True)
class ItemFilter:
    """Which items; each field is an option of the commands. The defaults exclude nothing."""

    reason: Annotated[str, typer.Option(help="Only those with this reason.")] = ""
    task: Annotated[str, typer.Option(help="Only those of this task.")] = ""
    older_than: Annotated[
        float | None, typer.Option(parser=seconds, metavar="AGE", help="E.g. 2h.")
    ] = None
    newer_than: Annotated[
        float | None, typer.Option(parser=seconds, metavar="AGE", help="E.g. 30m.")
    ] = None

    def admits(self, item: Item) -> bool:
        """Return whether an item is one of them."""
        older, newer = self.older_than, self.newer_than
        return (
            (not self.reason or item.reason == self.reason)
            and (not self.task or item.task_id == self.task)
            and (older is None or item.age_seconds >= older)
            and (newer is None or item.age_seconds <= newer)
        )


Id = Annotated[str, typer.Argument(metavar="ID")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Only these.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
All = Annotated[bool, typer.Option("--all", help="All of them, if no other choice is made.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


@dataclass(frozen=True)
class AdminContext:
    """Connections of one command."""

    settings: ProducerSettings
    redis: Redis
    keys: Keys
    storage: Storage


F = TypeVar("F", bound=ItemFilter)
T = TypeVar("T", bound=Item)
Row = dict[str, Any]


class Items(ABC, Generic[F, T]):
    """One kind of item: how it is found, shown, replayed and purged.

    The docstrings of `select`, `replay` and `purge` are the commands' help. `columns`: the headings
    of a table, each with the name of its field in a row.
    """

    name: ClassVar[str]
    plural: ClassVar[str]
    columns: ClassVar[dict[str, str]]

    @abstractmethod
    def __init__(self, context: AdminContext) -> None:
        """Work with these connections."""

    @abstractmethod
    def select(self, chosen: F) -> AsyncIterator[T]:
        """Yield the items of a filter."""

    @abstractmethod
    async def get(self, item_id: str) -> T | None:
        """Return one item; None if there is none with this id."""

    @abstractmethod
    async def row(self, item: T) -> Row:
        """Return all that is shown of an item."""

    @abstractmethod
    async def replay(self, item: T, *, dry_run: bool) -> Row:
        """Do an item's work again; return the outcome. Raises OperatorError if it cannot."""

    @abstractmethod
    async def purge(self, item: T, *, dry_run: bool) -> Row:
        """Remove an item for good; return the outcome. Raises OperatorError as `replay`."""


def add_commands(app: typer.Typer, kind: type[Items[F, T]], options: type[F]) -> None:
    """Add `list`, `show`, `replay` and `purge`; each field of ``options`` is an option of them."""

    def list_items(chosen: F, limit: Limit = 100, as_json: Json = False) -> None:
        _run(kind, lambda items: _list(items, chosen, limit, as_json=as_json))

    def show(item_id: Id, as_json: Json = False) -> None:
        _run(kind, lambda items: _show(items, item_id, as_json=as_json))

    def add_change(name: str, change: Callable[..., Awaitable[Row]]) -> None:
        def command(
            chosen: F,
            ids: Ids = None,
            everything: All = False,
            dry_run: DryRun = False,
            as_json: Json = False,
        ) -> None:
            # Nothing is changed for want of a choice.
            if [bool(ids), chosen != options(), everything].count(True) != 1:
                fail("say which: ids, or a filter (see --help), or --all")
            step = partial(change, dry_run=dry_run)
            _run(kind, lambda items: _change(items, step, chosen, ids or (), as_json=as_json))

        app.command(name, help=change.__doc__)(_with_options(command, options))

    app.command("list", help=kind.select.__doc__)(_with_options(list_items, options))
    app.command("show", help=f"Show all that is known of one {kind.name}.")(show)
    add_change("replay", kind.replay)
    add_change("purge", kind.purge)


def _with_options(command: Callable[..., None], options: type[ItemFilter]) -> Callable[..., None]:
    """Return a command with an option for each field of ``options``, its first parameter."""
    fields = inspect.signature(options).parameters
    _, *others = inspect.signature(command).parameters.values()

    def expanded(**values: Any) -> None:
        chosen = options(**{name: values.pop(name) for name in fields})
        command(chosen, **values)

    others = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in others]
    expanded.__signature__ = inspect.Signature([*fields.values(), *others])  # type: ignore[attr-defined]
    return expanded


async def _list(items: Items[F, T], chosen: F, limit: int, *, as_json: bool) -> None:
    rows: list[Row] = []
    async for item in items.select(chosen):
        rows.append(await items.row(item))
        if len(rows) == limit:
            break
    if as_json:
        for row in rows:
            print_json(row)
    else:
        names = items.columns.values()
        print_table(items.columns, [[_cell(row.get(name)) for name in names] for row in rows])


async def _show(items: Items[F, T], item_id: str, *, as_json: bool) -> None:
    row = await items.row(await _get(items, item_id))
    if as_json:
        print_json(row)
    else:
        print_fields({name: _cell(value) for name, value in row.items()})


def _cell(value: Any) -> str:
    """Return a value of a row as text; numbers are times in seconds."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return age(max(0.0, value))
    return str(value)


async def _change(
    items: Items[F, T],
    step: Callable[[Items[F, T], T], Awaitable[Row]],
    chosen: F,
    ids: Sequence[str],
    *,
    as_json: bool,
) -> None:
    """Take a step with each item; one that fails stops no other, and the status is 1 then."""

    async def attempt(item_id: str, item: T | None = None) -> bool:
        try:
            outcome = await step(items, item if item is not None else await _get(items, item_id))
        except OperatorError as error:
            if as_json:
                print_json({"id": item_id, "outcome": "error", "error": str(error)})
            else:
                print(f"plate-detect: {printable(item_id)}: {error}", file=sys.stderr)
            return False
        if as_json:
            print_json({"id": item_id, **outcome})
        else:
            print(item_id, *outcome.values())
        return True

    if ids:
        successes = [await attempt(item_id) for item_id in ids]
    else:
        successes = [await attempt(item.id, item) async for item in items.select(chosen)]
    if not successes and not as_json:
        print(f"no such {items.plural}", file=sys.stderr)
    if not all(successes):
        raise typer.Exit(1)


async def _get(items: Items[F, T], item_id: str) -> T:
    item = await items.get(item_id)
    if item is None:
        raise OperatorError(f"there is no {items.name} {printable(item_id)}")
    return item


def _run(kind: type[Items[F, T]], work: Callable[[Items[F, T]], Coroutine[Any, Any, None]]) -> None:
    """Run a command's work with its connections; whatever fails is one line and status 1."""

    async def run() -> None:
        async with _open_context() as context:
            await work(kind(context))

    try:
        asyncio.run(run())
    except StorageError as error:
        fail(f"storage: {error}")
    except RedisError as error:
        fail(f"Redis refused a command: {described(error)}")
    except (SettingsError, OperatorError, OSError) as error:
        fail(str(error))


@asynccontextmanager
async def _open_context() -> AsyncIterator[AdminContext]:
    settings = ProducerSettings.load()
    url = _embedded_url(Path.cwd() / "var" / "redis")
    if url is not None:
        settings = settings.model_copy(update={"redis_url": url})
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


def _embedded_url(folder: Path) -> str | None:
    """Return the address of the embedded server of this folder, if the settings name no other."""
    file = embedded.port_file(folder)
    if embedded.RunSettings.load().names_redis or not file.exists():
        return None
    port = embedded.noted_port(folder)
    if port is None:
        raise OperatorError(f"{file} names no port; `plate-detect run` writes it anew")
    return embedded.url(port)
