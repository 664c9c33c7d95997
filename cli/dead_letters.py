"""`plate-detect dead-letters`: images that were given up."""

import re
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer

from cli import admin
from cli.admin import AdminContext, OperatorError, Summary

if TYPE_CHECKING:
    from schemas.redis.dead_letters import DeadLetter, DeadLetters, LetterFilter

app = typer.Typer(
    no_args_is_help=True,
    help="Images that were given up: too many deliveries, or entries that break the contract.",
)

LetterId = Annotated[str, typer.Argument(metavar="ID")]


@app.command("list")
def list_letters(
    reason: admin.Reason = "",
    task: admin.Task = "",
    older_than: admin.Older = None,
    newer_than: admin.Newer = None,
    limit: admin.Limit = 100,
    as_json: admin.Json = False,
) -> None:
    """Show dead letters, oldest first."""

    async def work(at: AdminContext) -> None:
        letters = _letters(at)
        shown = [
            letter
            async for letter in _first(
                letters, _filter(reason, task, older_than, newer_than), limit
            )
        ]
        if as_json:
            for letter in shown:
                admin.print_json(await _row(letters, letter))
        else:
            admin.print_table(
                ("id", "age", "reason", "task", "image", "file", "original"),
                [await _cells(letters, letter) for letter in shown],
            )

    admin.run_command(work)


@app.command()
def show(letter_id: LetterId, as_json: admin.Json = False) -> None:
    """Show all that is known of one dead letter."""

    async def work(at: AdminContext) -> None:
        letters = _letters(at)
        letter = await _get(letters, letter_id)
        original = await letters.original(letter)
        if as_json:
            admin.print_json(await _row(letters, letter))
        else:
            fields = {"id": letter.id, "age": admin.age(letter.age_seconds), **letter.fields}
            admin.print_fields({**fields, "original": original or "gone"})

    admin.run_command(work)


@app.command()
def replay(
    ids: admin.Ids = None,
    reason: admin.Reason = "",
    task: admin.Task = "",
    older_than: admin.Older = None,
    newer_than: admin.Newer = None,
    everything: admin.All = False,
    dry_run: admin.DryRun = False,
    as_json: admin.Json = False,
) -> None:
    """Submit originals again, each as a new task of one image, and forget their dead letters.

    That needs the original: DEAD_LETTER_KEEP_INPUTS=true keeps it.
    """

    async def work(at: AdminContext) -> None:
        from schemas.redis.dead_letters import ReplayError

        summary, letters = Summary(as_json), _letters(at)
        wanted = _filter(reason, task, older_than, newer_than)
        async for letter in _chosen(letters, ids, wanted, summary, everything=everything):
            try:
                if dry_run:
                    if await letters.original(letter) is None:
                        raise ReplayError("its original is gone")
                    summary.tell(letter.id, "would be replayed")
                    continue
                new_task = await letters.replay(letter, max_backlog=at.settings.max_backlog_images)
                summary.tell(letter.id, "replayed as", task_id=new_task)
            except ReplayError as error:
                summary.fail(letter.id, str(error))
        summary.end("no such dead letters")

    admin.run_command(work)


@app.command()
def purge(
    ids: admin.Ids = None,
    reason: admin.Reason = "",
    task: admin.Task = "",
    older_than: admin.Older = None,
    newer_than: admin.Newer = None,
    everything: admin.All = False,
    dry_run: admin.DryRun = False,
    as_json: admin.Json = False,
) -> None:
    """Forget dead letters, and delete the originals that were kept for them."""

    async def work(at: AdminContext) -> None:
        summary, letters = Summary(as_json), _letters(at)
        wanted = _filter(reason, task, older_than, newer_than)
        async for letter in _chosen(letters, ids, wanted, summary, everything=everything):
            if not dry_run:
                await letters.purge(letter)
            summary.tell(letter.id, "would be purged" if dry_run else "purged")
        summary.end("no such dead letters")

    admin.run_command(work)


def _letters(at: AdminContext) -> "DeadLetters":
    from schemas.redis.dead_letters import DeadLetters
    from schemas.redis.task_store import TaskStore

    tasks = TaskStore(at.redis, at.keys, task_ttl_ms=at.settings.task_ttl_ms)
    return DeadLetters(at.redis, at.keys, tasks, at.storage)


def _filter(
    reason: str, task: str, older_than: float | None, newer_than: float | None
) -> "LetterFilter":
    from schemas.redis.dead_letters import LetterFilter

    return LetterFilter(reason, task, older_than, newer_than)


async def _first(
    letters: "DeadLetters", wanted: "LetterFilter", limit: int
) -> AsyncIterator["DeadLetter"]:
    async for letter in letters.select(wanted):
        yield letter
        limit -= 1
        if not limit:
            return


async def _chosen(
    letters: "DeadLetters",
    ids: list[str] | None,
    wanted: "LetterFilter",
    summary: Summary,
    *,
    everything: bool,
) -> AsyncIterator["DeadLetter"]:
    filters = (
        wanted.reason, wanted.task_id, wanted.older_than_seconds, wanted.newer_than_seconds,
    )  # fmt: skip
    admin.check_choice(ids, filters, everything=everything)
    if not ids:
        async for letter in letters.select(wanted):
            yield letter
    for letter_id in ids or ():
        try:
            letter = await _get(letters, letter_id)
        except OperatorError as error:
            summary.fail(letter_id, str(error))
            continue
        yield letter


async def _get(letters: "DeadLetters", letter_id: str) -> "DeadLetter":
    letter = None
    if re.fullmatch(r"[0-9]{1,19}-[0-9]{1,19}", letter_id):
        letter = await letters.get(letter_id)
    if letter is None:
        raise OperatorError(f"there is no dead letter {admin.printable(letter_id)}")
    return letter


async def _row(letters: "DeadLetters", letter: "DeadLetter") -> dict[str, object]:
    return {
        "id": letter.id,
        "age_seconds": letter.age_seconds,
        "replayable": await letters.original(letter) is not None,
        **letter.fields,
    }


async def _cells(letters: "DeadLetters", letter: "DeadLetter") -> tuple[str, ...]:
    index, name = letter.fields.get("index", ""), letter.fields.get("filename", "")
    original = "kept" if await letters.original(letter) else "gone"
    return (
        letter.id, admin.age(letter.age_seconds), letter.reason, letter.task_id,
        index, name, original,
    )  # fmt: skip
