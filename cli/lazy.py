"""Commands that are imported only when they are called: each needs much that others do not."""

from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup


class Place(NamedTuple):
    """Where a command is: ``module:name`` of its function or group, and its line in the help."""

    name: str
    help: str


class Placeholder(TyperCommand):
    """Stands for a command in lists of commands."""

    def __init__(self, name: str, place: Place) -> None:
        super().__init__(name, help=place.help)
        self.place = place


class LazyGroup(TyperGroup):
    """A group of placeholders, each of which is replaced by its command when that is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that the arguments name, imported."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, loaded(command) if isinstance(command, Placeholder) else command, rest


def lazy_group(places: dict[str, Place]) -> type[LazyGroup]:
    """Return a group that has these commands."""

    class Group(LazyGroup):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            for name, place in places.items():
                self.add_command(Placeholder(name, place))

    return Group


def loaded(placeholder: Placeholder) -> Any:
    """Import a command."""
    module, _, attribute = placeholder.place.name.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = placeholder.name
        return group
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    single.command(placeholder.name)(found)
    return typer.main.get_command(single)
