"""`plate-detect dead-letters`: images that were dead-lettered."""

import re
from collections.abc import AsyncIterator
from typing import ClassVar

import typer

from cli.admin.commands import ItemFilter, Items, Row, add_commands
from cli.admin.connection import AdminContext
from cli.output import OperatorError
from schemas.redis.dead_letters import DeadLetter, DeadLetters, ReplayError
from schemas.redis.task_store import TaskStore

app = typer.Typer(
    no_args_is_help=True,
    help="Images that were dead-lettered: too many deliveries, or a broken contract.",
)


class DeadLetterItems(Items[ItemFilter, DeadLetter]):
    """Dead letters, each with the original that may be left of its image."""

    name, plural = "dead letter", "dead letters"
    columns: ClassVar[dict[str, str]] = {
        "id": "id", "age": "age_seconds", "reason": "reason", "task": "task_id", "image": "index",
        "file": "filename", "replayable": "replayable",
    }  # fmt: skip

    def __init__(self, context: AdminContext) -> None:
        tasks = TaskStore(context.redis, context.keys, task_ttl_ms=context.settings.task_ttl_ms)
        self._letters = DeadLetters(context.redis, context.keys, tasks, context.storage)
        self._max_backlog = context.settings.max_backlog_images

    async def select(self, chosen: ItemFilter) -> AsyncIterator[DeadLetter]:
        """Show dead letters, oldest first."""
        async for letter in self._letters.all():
            if chosen.admits(letter):
                yield letter

    async def get(self, item_id: str) -> DeadLetter | None:
        if not re.fullmatch(r"[0-9]{1,19}-[0-9]{1,19}", item_id):
            return None
        return await self._letters.get(item_id)

    async def row(self, item: DeadLetter) -> Row:
        is_replayable = await self._letters.original(item) is not None
        return {"id": item.id, "age_seconds": item.age_seconds, "replayable": is_replayable,
                **item.fields}  # fmt: skip

    async def replay(self, item: DeadLetter, *, dry_run: bool) -> Row:
        """Submit originals again, each as a new task of one image, and remove their dead letters.

        That needs the original: DEAD_LETTER_KEEP_INPUTS=true keeps it.
        """
        if dry_run:
            if await self._letters.original(item) is None:
                raise OperatorError("its original is gone")
            return {"outcome": "would be replayed"}
        try:
            task_id = await self._letters.replay(item, max_backlog=self._max_backlog)
        except ReplayError as error:
            raise OperatorError(str(error)) from None
        return {"outcome": "replayed as", "task_id": task_id}

    async def purge(self, item: DeadLetter, *, dry_run: bool) -> Row:
        """Remove dead letters, and the originals that were kept for them."""
        if not dry_run:
            await self._letters.purge(item)
        return {"outcome": "would be purged" if dry_run else "purged"}


_CHANGES = {"replay": DeadLetterItems.replay, "purge": DeadLetterItems.purge}
add_commands(app, DeadLetterItems, ItemFilter, _CHANGES)
