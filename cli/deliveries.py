"""`plate-detect deliveries`: webhooks that wait or were given up."""

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli import admin
from cli.admin import AdminContext, OperatorError, Summary

if TYPE_CHECKING:
    from consumer.dispatcher.delivery_admin import DeliveryAdmin, DeliveryFilter, DeliveryRecord

app = typer.Typer(no_args_is_help=True, help="Webhooks that wait for a try, or were given up.")


class State(StrEnum):
    """What can be chosen by `--state`."""

    DUE = "due"
    DEAD = "dead"


class Kind(StrEnum):
    """What can be chosen by `--kind`."""

    UPLOAD = "upload"
    CALLBACK = "callback"


States = Annotated[State | None, typer.Option("--state", help="`due` waits, `dead` was given up.")]
Kinds = Annotated[Kind | None, typer.Option("--kind", help="Only this webhook.")]
DeliveryId = Annotated[str, typer.Argument(metavar="ID")]


@app.command("list")
def list_deliveries(
    state: States = None,
    kind: Kinds = None,
    reason: admin.Reason = "",
    task: admin.Task = "",
    older_than: admin.Older = None,
    newer_than: admin.Newer = None,
    limit: admin.Limit = 100,
    as_json: admin.Json = False,
) -> None:
    """Show deliveries: those that wait, then the dead, each by time."""

    async def work(at: AdminContext) -> None:
        shown: list[DeliveryRecord] = []
        wanted = _filter(state, kind, reason, task, older_than, newer_than)
        async for record in _ledger(at).select(wanted):
            shown.append(record)
            if len(shown) == limit:
                break
        if as_json:
            for record in shown:
                admin.print_json(_row(record))
        else:
            columns = ("webhook-id", "state", "age", "due in", "tries", "last answer", "task")
            admin.print_table(columns, map(_cells, shown))

    admin.run_command(work)


@app.command()
def show(delivery_id: DeliveryId, as_json: admin.Json = False) -> None:
    """Show all that is known of one delivery, its payload too."""

    async def work(at: AdminContext) -> None:
        record = await _get(_ledger(at), delivery_id)
        if as_json:
            admin.print_json(_row(record))
        else:
            told = {"webhook-id": record.id, "kind": str(record.kind)}
            admin.print_fields({**told, "age": admin.age(record.age_seconds), **_public(record)})

    admin.run_command(work)


@app.command()
def replay(
    ids: admin.Ids = None,
    state: States = None,
    kind: Kinds = None,
    reason: admin.Reason = "",
    task: admin.Task = "",
    older_than: admin.Older = None,
    newer_than: admin.Newer = None,
    everything: admin.All = False,
    dry_run: admin.DryRun = False,
    as_json: admin.Json = False,
) -> None:
    """Make deliveries due now, under the same webhook-id and with all tries before them.

    That needs what they send: the task, and for an upload its files. A receiver may get one that
    is just being tried twice.
    """

    async def work(at: AdminContext) -> None:
        from consumer.dispatcher.delivery_admin import DeliveryError

        summary, ledger = Summary(as_json), _ledger(at)
        wanted = _filter(state, kind, reason, task, older_than, newer_than)
        async for record in _chosen(ledger, ids, wanted, summary, everything=everything):
            try:
                await (ledger.check_replay(record) if dry_run else ledger.replay(record))
            except DeliveryError as error:
                summary.fail(record.id, str(error))
            else:
                summary.tell(record.id, "would be replayed" if dry_run else "due now")
        summary.end("no such deliveries")

    admin.run_command(work)


@app.command()
def purge(
    ids: admin.Ids = None,
    state: States = None,
    kind: Kinds = None,
    reason: admin.Reason = "",
    task: admin.Task = "",
    older_than: admin.Older = None,
    newer_than: admin.Newer = None,
    everything: admin.All = False,
    dry_run: admin.DryRun = False,
    as_json: admin.Json = False,
) -> None:
    """Give deliveries up for good: they are never sent again."""

    async def work(at: AdminContext) -> None:
        from consumer.dispatcher.delivery_admin import DeliveryError

        summary, ledger = Summary(as_json), _ledger(at)
        wanted = _filter(state, kind, reason, task, older_than, newer_than)
        async for record in _chosen(ledger, ids, wanted, summary, everything=everything):
            try:
                ledger.check_purge(record)
                if not dry_run:
                    await ledger.purge(record)
            except DeliveryError as error:
                summary.fail(record.id, str(error))
            else:
                summary.tell(record.id, "would be purged" if dry_run else "purged")
        summary.end("no such deliveries")

    admin.run_command(work)


def _ledger(at: AdminContext) -> "DeliveryAdmin":
    from consumer.dispatcher.delivery_admin import DeliveryAdmin

    return DeliveryAdmin(at.redis, at.keys, at.storage)


def _filter(
    state: State | None,
    kind: Kind | None,
    reason: str,
    task: str,
    older_than: float | None,
    newer_than: float | None,
) -> "DeliveryFilter":
    from consumer.dispatcher.deliveries import DeliveryState
    from consumer.dispatcher.delivery_admin import DeliveryFilter
    from consumer.dispatcher.webhook import DeliveryKind

    states = (DeliveryState.DUE, DeliveryState.DEAD)
    return DeliveryFilter(
        states if state is None else (DeliveryState(state),),
        None if kind is None else DeliveryKind(kind),
        reason,
        task,
        older_than,
        newer_than,
    )


async def _chosen(
    ledger: "DeliveryAdmin",
    ids: list[str] | None,
    wanted: "DeliveryFilter",
    summary: Summary,
    *,
    everything: bool,
) -> AsyncIterator["DeliveryRecord"]:
    filters = (
        wanted.kind, wanted.reason, wanted.task_id, wanted.older_than_seconds,
        wanted.newer_than_seconds, wanted.states if len(wanted.states) == 1 else (),
    )  # fmt: skip
    admin.check_choice(ids, filters, everything=everything)
    if not ids:
        async for record in ledger.select(wanted):
            yield record
    for delivery_id in ids or ():
        try:
            yield await _get(ledger, delivery_id)
        except OperatorError as error:
            summary.fail(delivery_id, str(error))


async def _get(ledger: "DeliveryAdmin", delivery_id: str) -> "DeliveryRecord":
    record = await ledger.get(delivery_id)
    if record is None:
        raise OperatorError(f"there is no delivery {admin.printable(delivery_id)}")
    return record


def _public(record: "DeliveryRecord") -> dict[str, str]:
    """Without the token, which is the claim of a try."""
    return {name: value for name, value in record.fields.items() if name != "token"}


def _row(record: "DeliveryRecord") -> dict[str, object]:
    return {
        "id": record.id,
        "kind": str(record.kind),
        "age_seconds": record.age_seconds,
        "due_in_seconds": record.due_seconds,
        **_public(record),
    }


def _cells(record: "DeliveryRecord") -> tuple[str, ...]:
    due = "" if record.due_seconds is None else admin.age(max(0.0, record.due_seconds))
    return (
        record.id, record.state, admin.age(record.age_seconds), due,
        record.fields.get("attempts", "0"), record.reason, record.task_id,
    )  # fmt: skip
