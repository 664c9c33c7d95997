"""`plate-detect tasks`: the tasks that Redis knows, and their deletion."""

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import typer

from cli.admin.commands import AgeFilter, Items, Row, add_commands
from cli.admin.connection import AdminContext
from schemas.contract.messages import TASK_ID_PATTERN
from schemas.contract.tasks import TaskState, TaskStatus
from schemas.redis.task_store import TaskStore
from schemas.storage.layout import task_prefix

app = typer.Typer(no_args_is_help=True, help="Tasks: what is known of them, and their deletion.")

_SCAN_KEYS = 500
_TIMES = ("created_at", "finished_at", "deleted")


@dataclass(frozen=True, kw_only=True)
class TaskFilter(AgeFilter):
    """Which tasks."""

    status: Annotated[TaskStatus | None, typer.Option(help="Only those with this status.")] = None
    needs_review: Annotated[
        bool, typer.Option("--needs-review", help="Only those that have a doubtful result.")
    ] = False


@dataclass(frozen=True, slots=True)
class TaskItem:
    """One task; the times are of the server's clock. `finished_seconds`: since its end, if any."""

    id: str
    age_seconds: float
    finished_seconds: float | None
    is_deleted: bool
    state: TaskState


class TaskItems(Items[TaskFilter, TaskItem]):
    """Tasks, from their acceptance to the end of their life."""

    name, plural = "task", "tasks"
    columns: ClassVar[dict[str, str]] = {
        "task": "id", "age": "age_seconds", "status": "status", "done": "done", "images": "total",
        "errors": "failed", "needs review": "needs_review", "deleted": "deleted",
    }  # fmt: skip

    def __init__(self, context: AdminContext) -> None:
        self._redis, self._keys, self._storage = context.redis, context.keys, context.storage
        self._tasks = TaskStore(
            context.redis, context.keys, task_ttl_ms=context.settings.task_ttl_ms
        )

    async def select(self, chosen: TaskFilter) -> AsyncIterator[TaskItem]:
        """Show tasks, newest first."""
        for task_id in await self._newest_first(chosen.status):
            item = await self.get(task_id)
            if item is None or not chosen.admits_age(item):
                continue
            is_wanted = chosen.status in (None, item.state.status)  # it may have changed
            if is_wanted and (item.state.needs_review or not chosen.needs_review):
                yield item

    async def get(self, item_id: str) -> TaskItem | None:
        if not re.fullmatch(TASK_ID_PATTERN, item_id):
            return None
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.time()
        pipeline.hmget(self._keys.task(item_id), *_TIMES)
        (seconds, microseconds), times = await pipeline.execute()
        state = await self._tasks.state(item_id)
        if state is None:
            return None
        created, finished, deleted = times
        now = seconds + microseconds / 1e6
        return TaskItem(
            item_id,
            age_seconds=max(0.0, now - int(created or 0) / 1000),
            finished_seconds=max(0.0, now - int(finished) / 1000) if finished else None,
            is_deleted=deleted is not None,
            state=state,
        )

    async def row(self, item: TaskItem) -> Row:
        state = item.state.model_dump(mode="json")
        progress = state.pop("progress")
        return {
            "id": state.pop("task_id"), "age_seconds": item.age_seconds,
            "finished_seconds_ago": item.finished_seconds, "status": state.pop("status"),
            "done": progress["done"], "total": progress["total"], "failed": len(state["errors"]),
            "needs_review": state.pop("needs_review"), "deleted": item.is_deleted, **state,
        }  # fmt: skip

    async def delete(self, item: TaskItem, *, dry_run: bool) -> Row:
        """Delete tasks: their files at once, and images that are not done are cancelled."""
        if dry_run:
            return {"outcome": "would be deleted"}
        await self._tasks.delete(item.id)
        await self._storage.delete_prefix(task_prefix(item.id))
        return {"outcome": "deleted"}

    async def _newest_first(self, status: TaskStatus | None) -> list[str]:
        """Return the ids of tasks; the time of each is all that is held in memory beside it."""
        prefix = self._keys.task("")
        pattern = re.sub(r"([*?\[\]\\])", r"\\\1", prefix) + "*"
        created: dict[str, int] = {}
        page: list[bytes] = []
        async for key in self._redis.scan_iter(match=pattern, count=_SCAN_KEYS):
            page.append(key)
            if len(page) == _SCAN_KEYS:
                created |= await self._created(page, len(prefix), status)
                page = []
        created |= await self._created(page, len(prefix), status)
        return sorted(created, key=created.__getitem__, reverse=True)

    async def _created(
        self, keys: Sequence[bytes], prefix_length: int, status: TaskStatus | None
    ) -> dict[str, int]:
        pipeline = self._redis.pipeline(transaction=False)
        for key in keys:
            pipeline.hmget(key, "created_at", "status")
        rows: list[Any] = await pipeline.execute(raise_on_error=False)
        return {
            key.decode(errors="replace")[prefix_length:]: int(row[0] or 0)
            for key, row in zip(keys, rows, strict=True)
            # A key with another type is not a task.
            if isinstance(row, list) and row[1] and status in (None, row[1].decode())
        }


add_commands(app, TaskItems, TaskFilter, {"delete": TaskItems.delete})
