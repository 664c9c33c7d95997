"""`plate-detect tasks`: tasks are listed by what is known of them, and deleted with their files."""

import pytest

from schemas.contract.messages import ImageMessage
from schemas.contract.tasks import ImageResult
from schemas.storage.layout import output_key
from tests.integration.cli.conftest import Bench

pytestmark = pytest.mark.integration


async def finished(bench: Bench, task_id: str, *, needs_review: bool = False) -> None:
    """A task whose image has a result."""
    entry, message = await bench.take(task_id)
    await bench.storage.put(output_key(task_id, "covered.webp"), b"covered")
    result = ImageResult(filename="covered.webp", url="/covered.webp", needs_review=needs_review)
    assert await bench.tasks.finish(entry, message, result, {}) == "completed"
    await bench.storage.delete(f"{task_id}/input/0")


async def ids(bench: Bench, *options: str) -> list[str]:
    return [row["id"] for row in await bench.rows("tasks", "list", *options)]


async def test_listed_newest_first_and_by_choice(bench: Bench) -> None:
    await bench.take("open")
    await finished(bench, "sure")
    await finished(bench, "doubtful", needs_review=True)
    for name, age_ms in (("open", 7_200_000), ("sure", 60_000), ("doubtful", 0)):
        created = int(await bench.redis.hget(bench.keys.task(name), "created_at") or 0) - age_ms
        await bench.redis.hset(bench.keys.task(name), "created_at", str(created))
    assert await ids(bench) == ["doubtful", "sure", "open"]
    assert await ids(bench, "--limit", "1") == ["doubtful"]
    assert await ids(bench, "--status", "processing") == ["open"]
    assert await ids(bench, "--needs-review") == ["doubtful"]
    assert await ids(bench, "--older-than", "1h") == ["open"]
    table = await bench.cli("tasks", "list")
    assert [line.split()[0] for line in table.stdout.splitlines()[1:]] == [
        "doubtful", "sure", "open",
    ]  # fmt: skip


async def test_show_names_results_and_errors(bench: Bench) -> None:
    await finished(bench, "sure")
    (row,) = await bench.rows("tasks", "show", "sure")
    assert row["status"] == "completed"
    assert row["results"] == [{"index": 0, "filename": "covered.webp", "url": "/covered.webp"}]
    assert (row["done"], row["total"], row["failed"], row["deleted"]) == (1, 1, 0, False)
    text = await bench.cli("tasks", "show", "sure")
    assert '"filename":"covered.webp"' in text.stdout


async def test_deleted_with_its_files(bench: Bench) -> None:
    await finished(bench, "sure")
    await bench.take("open")
    only_said = await bench.cli("tasks", "delete", "sure", "--dry-run")
    assert only_said.stdout == "sure would be deleted\n"
    assert len(bench.files()) == 2
    done = await bench.cli("tasks", "delete", "sure", "open")
    assert done.exit_code == 0
    assert not bench.files()
    (row,) = await bench.rows("tasks", "show", "open")
    assert row["deleted"]
    assert [error["code"] for error in row["errors"]] == ["deleted"]


async def test_an_unknown_task_fails_alone(bench: Bench) -> None:
    await finished(bench, "sure")
    done = await bench.cli("tasks", "delete", "../sure", "none", "sure")
    assert done.exit_code == 1
    assert done.stderr.count("there is no task") == 2
    assert done.stdout == "sure deleted\n"
    assert (await bench.cli("tasks", "delete")).exit_code == 1


async def test_other_keys_are_no_tasks(bench: Bench) -> None:
    await bench.redis.set(bench.keys.task("text"), "not a hash")
    await bench.redis.hset(bench.keys.task("other"), "field", "value")
    message = ImageMessage(task_id="real", total=1, image=b"x", filename="a.jpg")
    await bench.tasks.submit("real", [message], max_backlog=10)
    assert await ids(bench) == ["real"]
