"""`plate-detect deliveries`: webhooks that wait for an attempt, or are dead."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from cli.admin import AdminContext, ItemFilter, Items, OperatorError, Row, add_commands
from cli.output import age
from consumer.dispatcher.deliveries import DeliveryState
from consumer.dispatcher.delivery_admin import (
    DeliveryAdmin,
    DeliveryError,
    DeliveryFilter,
    DeliveryRecord,
)
from consumer.dispatcher.webhook import DeliveryKind

app = typer.Typer(no_args_is_help=True, help="Webhooks that wait for an attempt, or are dead.")


class OpenState(StrEnum):
    """What `--state` takes."""

    DUE = DeliveryState.DUE
    DEAD = DeliveryState.DEAD


@dataclass(frozen=True, kw_only=True)
class DeliveryOptions(ItemFilter):
    """Which deliveries."""

    state: Annotated[
        OpenState | None, typer.Option(help="`due` waits, `dead` is not sent again by itself.")
    ] = None
    kind: Annotated[DeliveryKind | None, typer.Option(help="Only this webhook.")] = None


class DeliveryItems(Items[DeliveryOptions, DeliveryRecord]):
    """Deliveries that have not arrived."""

    name, plural = "delivery", "deliveries"
    columns = ("webhook-id", "state", "age", "due in", "attempts", "last result", "task")

    def __init__(self, context: AdminContext) -> None:
        self._deliveries = DeliveryAdmin(context.redis, context.keys, context.storage)

    def select(self, chosen: DeliveryOptions) -> AsyncIterator[DeliveryRecord]:
        """Show deliveries: those that wait, then the dead, each by time."""
        states = [chosen.state] if chosen.state else list(OpenState)
        return self._deliveries.select(
            DeliveryFilter(
                tuple(DeliveryState(state) for state in states), chosen.kind, chosen.reason,
                chosen.task, chosen.older_than, chosen.newer_than,
            )
        )  # fmt: skip

    async def get(self, item_id: str) -> DeliveryRecord | None:
        return await self._deliveries.get(item_id)

    async def row(self, item: DeliveryRecord) -> Row:
        return {"id": item.id, "kind": str(item.kind), "age_seconds": item.age_seconds,
                "due_in_seconds": item.due_seconds, **_public(item)}  # fmt: skip

    async def cells(self, item: DeliveryRecord) -> tuple[str, ...]:
        due = "" if item.due_seconds is None else age(max(0.0, item.due_seconds))
        attempts = item.fields.get("attempts", "0")
        return item.id, item.state, age(item.age_seconds), due, attempts, item.reason, item.task_id

    async def details(self, item: DeliveryRecord) -> dict[str, str]:
        """Show all that is known of one delivery, its payload too."""
        return {"webhook-id": item.id, "kind": str(item.kind), "age": age(item.age_seconds),
                **_public(item)}  # fmt: skip

    async def replay(self, item: DeliveryRecord, *, dry_run: bool) -> Row:
        """Make deliveries due now, under the same webhook-id and with all attempts before them.

        That needs what they send: the task, and for an upload its files. A delivery whose attempt
        is just under way may arrive twice.
        """
        try:
            if dry_run:
                await self._deliveries.check_replay(item)
                return {"outcome": "would be replayed"}
            await self._deliveries.replay(item)
        except DeliveryError as error:
            raise OperatorError(str(error)) from None
        return {"outcome": "due now"}

    async def purge(self, item: DeliveryRecord, *, dry_run: bool) -> Row:
        """Cancel deliveries for good: they are never sent again."""
        try:
            self._deliveries.check_purge(item)
            if not dry_run:
                await self._deliveries.purge(item)
        except DeliveryError as error:
            raise OperatorError(str(error)) from None
        return {"outcome": "would be purged" if dry_run else "purged"}


def _public(item: DeliveryRecord) -> dict[str, str]:
    """Return a record's fields without the token, which identifies an attempt."""
    return {name: value for name, value in item.fields.items() if name != "token"}


add_commands(app, DeliveryItems, DeliveryOptions)
