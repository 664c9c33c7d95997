"""`plate-detect deliveries`: webhooks that wait for an attempt, or are dead."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import typer

from cli.admin.commands import ItemFilter, Items, Row, add_commands
from cli.admin.connection import AdminContext
from cli.output import OperatorError
from consumer.dispatcher.deliveries import DeliveryRecord, milliseconds
from consumer.dispatcher.webhook import DeliveryKind, DeliveryState
from schemas.contract.tasks import TaskState
from schemas.redis.scripts import Scripts
from schemas.redis.task_store import TaskStore
from schemas.storage.layout import output_key

app = typer.Typer(no_args_is_help=True, help="Webhooks that wait for an attempt, or are dead.")

_OPEN = (DeliveryState.DUE, DeliveryState.DEAD)
_REQUIRED = {b"state", b"type", b"task_id", b"created_at"}


@dataclass(frozen=True, kw_only=True)
class DeliveryFilter(ItemFilter):
    """Which deliveries."""

    state: Annotated[
        Literal["due", "dead"] | None,
        typer.Option(help="`due` waits, `dead` is not sent again by itself."),
    ] = None
    kind: Annotated[DeliveryKind | None, typer.Option(help="Only this webhook.")] = None


class DeliveryItems(Items[DeliveryFilter, DeliveryRecord]):
    """Deliveries that have not arrived."""

    name, plural = "delivery", "deliveries"
    columns: ClassVar[dict[str, str]] = {
        "webhook-id": "id", "state": "state", "age": "age_seconds", "due in": "due_in_seconds",
        "attempts": "attempts", "last result": "status", "task": "task_id",
    }  # fmt: skip

    def __init__(self, context: AdminContext) -> None:
        self._redis, self._keys, self._storage = context.redis, context.keys, context.storage
        self._scripts = Scripts(context.redis, context.keys)
        ttl_ms = context.settings.task_ttl_ms
        self._tasks = TaskStore(context.redis, context.keys, task_ttl_ms=ttl_ms)

    async def select(self, chosen: DeliveryFilter) -> AsyncIterator[DeliveryRecord]:
        """Show deliveries: those that wait, then the dead, each by time."""
        states = [chosen.state] if chosen.state else _OPEN
        kinds = [chosen.kind] if chosen.kind else list(DeliveryKind)
        indexes = []
        if DeliveryState.DUE in states:
            indexes += [self._keys.due_deliveries(kind) for kind in kinds]
        if DeliveryState.DEAD in states:
            indexes.append(self._keys.dead_deliveries)
        rows: list[Any] = [await self._redis.zrange(index, 0, -1) for index in indexes]
        for delivery_id in (each.decode(errors="replace") for members in rows for each in members):
            found = await self.get(delivery_id)
            if found and found.kind in kinds and found.state in states and chosen.admits(found):
                yield found

    async def get(self, item_id: str) -> DeliveryRecord | None:
        """Return a delivery, or None if there is none, or its key holds something else."""
        kind = item_id.rpartition("_")[2]
        if kind not in list(DeliveryKind):
            return None
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.hgetall(self._keys.delivery(item_id))
        pipeline.zscore(self._keys.due_deliveries(kind), item_id)
        now, row, due_ms = await pipeline.execute(raise_on_error=False)
        for reply in (now, row, due_ms):
            if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
                raise reply
        if not isinstance(row, dict) or not row.keys() >= _REQUIRED:
            return None
        now_ms = milliseconds(now)
        fields = {name.decode(): value.decode(errors="replace") for name, value in row.items()}
        return DeliveryRecord(
            item_id,
            DeliveryKind(kind),
            age_seconds=max(0, now_ms - int(fields["created_at"])) / 1000,
            due_seconds=(due_ms - now_ms) / 1000 if isinstance(due_ms, float) else None,
            fields=fields,
        )

    async def row(self, item: DeliveryRecord) -> Row:
        # The token identifies an attempt: it is not shown.
        public = {name: value for name, value in item.fields.items() if name != "token"}
        return {"id": item.id, "kind": str(item.kind), "age_seconds": item.age_seconds,
                "due_in_seconds": item.due_seconds, **public}  # fmt: skip

    async def replay(self, item: DeliveryRecord, *, dry_run: bool) -> Row:
        """Make deliveries due now, under the same webhook-id and with all attempts before them.

        That needs what they send: the task, and for an upload its files. A delivery whose attempt
        is just under way may arrive twice.
        """
        _check_open(item)
        if not await self._redis.exists(self._keys.task(item.task_id)):
            raise OperatorError("its task is gone")
        if item.kind is DeliveryKind.UPLOAD and not await self._has_files(item):
            raise OperatorError("its files are gone")
        if dry_run:
            return {"outcome": "would be replayed"}
        result = await self._scripts.replay_delivery(item.kind, item.id, item.task_id)
        _expect(result, DeliveryState.DUE)
        return {"outcome": "due now"}

    async def purge(self, item: DeliveryRecord, *, dry_run: bool) -> Row:
        """Cancel deliveries for good: they are never sent again."""
        _check_open(item)
        if dry_run:
            return {"outcome": "would be purged"}
        result = await self._scripts.purge_delivery(item.kind, item.id)
        _expect(result, DeliveryState.CANCELLED)
        return {"outcome": "purged"}

    async def _has_files(self, item: DeliveryRecord) -> bool:
        state = TaskState.model_validate_json(item.fields.get("payload", ""))
        try:
            for result in state.results:
                located = await self._tasks.locate_result(item.task_id, result.filename)
                file = located.file if located else result.filename
                await self._storage.size(output_key(item.task_id, file))
        except FileNotFoundError:
            return False
        return True


def _check_open(item: DeliveryRecord) -> None:
    if item.state not in _OPEN:
        raise OperatorError(f"it is {item.state}")


def _expect(result: str, state: DeliveryState) -> None:
    if result != state:
        reasons = {"gone": "its task is gone", "missing": "it has expired"}
        raise OperatorError(reasons.get(result, f"it is {result}"))


_CHANGES = {"replay": DeliveryItems.replay, "purge": DeliveryItems.purge}
add_commands(app, DeliveryItems, DeliveryFilter, _CHANGES)
