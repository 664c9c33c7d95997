"""The administration commands: `list`, `show`, and commands of change, for any kind of item.

`dead_letters`, `deliveries` and `tasks` say what their items are; options, selection and output are
here.
"""

import inspect
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Generic, Protocol, TypeVar

import typer

from cli.admin.connection import AdminContext, run_connected
from cli.output import (
    UNITS,
    OperatorError,
    age,
    as_json,
    fail,
    print_fields,
    print_json,
    print_table,
    printable,
)


def seconds(text: str) -> float:
    """Return the seconds of an age as one writes it: `90s`, `15m`, `2h`, `3d`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if match is None:
        raise typer.BadParameter("write an age as 90s, 15m, 2h or 3d")
    return float(match[1]) * UNITS[match[2]]


class Item(Protocol):
    """What the commands need to know of any item."""

    @property
    def id(self) -> str:
        """Return what identifies it for an operator."""

    @property
    def age_seconds(self) -> float:
        """Return the time since it was created."""


class FailedItem(Item, Protocol):
    """An item that belongs to a task and failed for a reason."""

    @property
    def reason(self) -> str:
        """Return why it failed."""

    @property
    def task_id(self) -> str:
        """Return the task that it belongs to."""


@dataclass(frozen=True, kw_only=True)
class AgeFilter:
    """Which items; each field is an option of the commands. The defaults exclude nothing."""

    older_than: Annotated[
        float | None, typer.Option(parser=seconds, metavar="AGE", help="E.g. 2h.")
    ] = None
    newer_than: Annotated[
        float | None, typer.Option(parser=seconds, metavar="AGE", help="E.g. 30m.")
    ] = None

    def admits_age(self, item: Item) -> bool:
        """Return whether an item is neither too young nor too old."""
        older, newer = self.older_than, self.newer_than
        return (older is None or item.age_seconds >= older) and (
            newer is None or item.age_seconds <= newer
        )


@dataclass(frozen=True, kw_only=True)
class ItemFilter(AgeFilter):
    """Which items of tasks."""

    reason: Annotated[str, typer.Option(help="Only those with this reason.")] = ""
    task: Annotated[str, typer.Option(help="Only those of this task.")] = ""

    def admits(self, item: FailedItem) -> bool:
        """Return whether an item is one of them."""
        return (
            (not self.reason or item.reason == self.reason)
            and (not self.task or item.task_id == self.task)
            and self.admits_age(item)
        )


Id = Annotated[str, typer.Argument(metavar="ID")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Only these.")]
Limit = Annotated[int, typer.Option(min=1, help="At most so many.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
All = Annotated[bool, typer.Option("--all", help="All of them, if no other choice is made.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]


F = TypeVar("F", bound=AgeFilter)
T = TypeVar("T", bound=Item)
Row = dict[str, Any]


class Items(ABC, Generic[F, T]):
    """One kind of item: how it is found and shown.

    The docstrings of `select` and of each method of change are the commands' help. `columns`: the
    headings of a table, each with the name of its field in a row.
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


def add_commands(
    app: typer.Typer,
    kind: type[Items[F, T]],
    options: type[F],
    changes: Mapping[str, Callable[..., Awaitable[Row]]],
) -> None:
    """Add `list`, `show` and the changes; each field of ``options`` is an option of them.

    Args:
        changes: methods of ``kind`` by the name of their command. Each changes one item, or with
            ``dry_run`` only checks it, and returns the outcome, or raises OperatorError.
    """

    def list_items(chosen: F, limit: Limit = 100, json_lines: Json = False) -> None:
        _run(kind, lambda items: _list(items, chosen, limit, json_lines=json_lines))

    def show(item_id: Id, json_lines: Json = False) -> None:
        _run(kind, lambda items: _show(items, item_id, json_lines=json_lines))

    def add_change(name: str, change: Callable[..., Awaitable[Row]]) -> None:
        def command(
            chosen: F,
            ids: Ids = None,
            everything: All = False,
            dry_run: DryRun = False,
            json_lines: Json = False,
        ) -> None:
            # Nothing is changed for want of a choice.
            if [bool(ids), chosen != options(), everything].count(True) != 1:
                fail("say which: ids, or a filter (see --help), or --all")
            step = partial(change, dry_run=dry_run)
            _run(kind, lambda items: _change(items, step, chosen, ids or (), json_lines=json_lines))

        app.command(name, help=change.__doc__)(_with_options(command, options))

    app.command("list", help=kind.select.__doc__)(_with_options(list_items, options))
    app.command("show", help=f"Show all that is known of one {kind.name}.")(show)
    for name, change in changes.items():
        add_change(name, change)


def _with_options(command: Callable[..., None], options: type[AgeFilter]) -> Callable[..., None]:
    """Return a command with an option for each field of ``options``, its first parameter."""
    fields = inspect.signature(options).parameters
    _, *others = inspect.signature(command).parameters.values()

    def expanded(**values: Any) -> None:
        chosen = options(**{name: values.pop(name) for name in fields})
        command(chosen, **values)

    others = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in others]
    expanded.__signature__ = inspect.Signature([*fields.values(), *others])  # type: ignore[attr-defined]
    return expanded


async def _list(items: Items[F, T], chosen: F, limit: int, *, json_lines: bool) -> None:
    rows: list[Row] = []
    async for item in items.select(chosen):
        rows.append(await items.row(item))
        if len(rows) == limit:
            break
    if json_lines:
        for row in rows:
            print_json(row)
    else:
        names = items.columns.values()
        print_table(items.columns, [[_cell(row.get(name)) for name in names] for row in rows])


async def _show(items: Items[F, T], item_id: str, *, json_lines: bool) -> None:
    row = await items.row(await _get(items, item_id))
    if json_lines:
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
        case list():
            return as_json(value)
    return str(value)


async def _change(
    items: Items[F, T],
    step: Callable[[Items[F, T], T], Awaitable[Row]],
    chosen: F,
    ids: Sequence[str],
    *,
    json_lines: bool,
) -> None:
    """Take a step with each item; one that fails stops no other, and the status is 1 then."""

    async def attempt(item_id: str, item: T | None = None) -> bool:
        try:
            outcome = await step(items, item if item is not None else await _get(items, item_id))
        except OperatorError as error:
            if json_lines:
                print_json({"id": item_id, "outcome": "error", "error": str(error)})
            else:
                print(f"plate-detect: {printable(item_id)}: {error}", file=sys.stderr)
            return False
        if json_lines:
            print_json({"id": item_id, **outcome})
        else:
            print(item_id, *outcome.values())
        return True

    if ids:
        successes = [await attempt(item_id) for item_id in ids]
    else:
        successes = [await attempt(item.id, item) async for item in items.select(chosen)]
    if not successes and not json_lines:
        print(f"no such {items.plural}", file=sys.stderr)
    if not all(successes):
        raise typer.Exit(1)


async def _get(items: Items[F, T], item_id: str) -> T:
    item = await items.get(item_id)
    if item is None:
        raise OperatorError(f"there is no {items.name} {printable(item_id)}")
    return item


def _run(kind: type[Items[F, T]], work: Callable[[Items[F, T]], Coroutine[Any, Any, None]]) -> None:
    run_connected(lambda context: work(kind(context)))
