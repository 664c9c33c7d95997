"""`plate-detect dead-letters`: dead letters are listed, replayed once, or deleted."""

import asyncio
from typing import Any

import pytest

from schemas.contract.errors import ImageErrorCode
from schemas.contract.tasks import ImageFailure
from schemas.redis.dead_letters import DeadLetters
from schemas.redis.task_store import TaskStore
from schemas.storage.layout import task_prefix
from tests.integration.cli.conftest import Bench

pytestmark = pytest.mark.integration


async def dead_letter(
    bench: Bench, task_id: str, *, keep: bool = True, reason: str = "too_many_deliveries"
) -> str:
    """A task whose image was dead-lettered, as a worker leaves it; returns the letter's id."""
    entry, message = await bench.take(task_id, f"pixels of {task_id}".encode())
    store: TaskStore = bench.keeping() if keep else bench.tasks
    failure = ImageFailure(
        index=0, filename=message.filename, code=ImageErrorCode.TOO_MANY_DELIVERIES, detail="gone"
    )
    done = await store.dead_letter(
        entry, reason=reason, task_id=task_id, failure=failure, total=1,
        metadata={"detail": "gone", "deliveries": 4},
    )  # fmt: skip
    assert done == "failed"
    await bench.storage.delete(f"{task_id}/input/0")
    rows: Any = await bench.redis.xrevrange(bench.keys.dead_letters, count=1)
    return str(rows[0][0].decode())


async def letters(bench: Bench) -> list[str]:
    return [entry.decode() for entry, _ in await bench.redis.xrange(bench.keys.dead_letters)]


async def test_list_and_show(bench: Bench) -> None:
    kept = await dead_letter(bench, "kept")
    gone = await dead_letter(bench, "gone", keep=False, reason="invalid_message")
    rows = await bench.rows("dead-letters", "list")
    assert [(row["id"], row["task_id"], row["replayable"]) for row in rows] == [
        (kept, "kept", True), (gone, "gone", False),
    ]  # fmt: skip
    assert rows[0]["filename"] == "kept.jpg"
    assert rows[0]["deliveries"] == "4"
    table = await bench.cli("dead-letters", "list")
    assert table.exit_code == 0
    assert all(text in table.stdout for text in (kept, gone, "too_many_deliveries", "kept.jpg"))
    shown = await bench.cli("dead-letters", "show", kept)
    assert "kept/quarantine/" in shown.stdout
    (row,) = await bench.rows("dead-letters", "show", gone)
    assert row["reason"] == "invalid_message"


async def test_no_pixels_in_a_letter(bench: Bench) -> None:
    entry = await bench.redis.xadd(
        bench.keys.images, {"v": "1", "task_id": "t", "image": b"PIXELS", "filename": "n" * 2000}
    )
    for store in (bench.keeping(), bench.tasks):  # the second finds it settled
        await store.dead_letter(entry.decode(), reason="invalid_message", task_id="t")
    ((_, letter),) = await bench.redis.xrange(bench.keys.dead_letters)
    assert b"PIXELS" not in b"".join(letter.values())
    assert b"image" not in letter
    assert letter[b"image_bytes"] == b"6"
    assert len(letter[b"image_sha1"]) == 40
    assert b"filename" not in letter  # too long to be a name
    assert bench.files() == {f"t/quarantine/{entry.decode()}"}


async def test_choosing_by_reason_task_and_age(bench: Bench) -> None:
    old = (await bench.redis.time())[0] * 1000 - 3_600_000
    await bench.redis.xadd(bench.keys.dead_letters, {"reason": "x", "task_id": "a"}, id=f"{old}-0")
    await bench.redis.xadd(bench.keys.dead_letters, {"reason": "x", "task_id": "b"})
    await bench.redis.xadd(bench.keys.dead_letters, {"reason": "y", "task_id": "c"})

    async def tasks(*options: str) -> str:
        return "".join(r["task_id"] for r in await bench.rows("dead-letters", "list", *options))

    assert await tasks() == "abc"
    assert await tasks("--reason", "x") == "ab"
    assert await tasks("--older-than", "59m") == "a"
    assert await tasks("--newer-than", "0.5h") == "bc"
    assert await tasks("--reason", "x", "--newer-than", "1800s") == "b"
    assert await tasks("--task", "c") == "c"
    assert await tasks("--older-than", "2d") == ""
    assert await tasks("--limit", "2") == "ab"


async def test_many_letters_are_all_seen(bench: Bench) -> None:
    pipeline = bench.redis.pipeline()
    for number in range(450):
        pipeline.xadd(bench.keys.dead_letters, {"reason": "x"}, id=f"1-{number + 1}")
    await pipeline.execute()
    assert len(await bench.rows("dead-letters", "purge", "--all", "--dry-run")) == 450
    assert len(await bench.rows("dead-letters", "purge", "--reason", "x")) == 450
    assert await letters(bench) == []


async def test_replay_is_a_new_task_and_the_letter_goes(bench: Bench) -> None:
    letter = await dead_letter(bench, "t1")
    dry = await bench.cli("dead-letters", "replay", letter, "--dry-run")
    assert "would be replayed" in dry.stdout
    assert await letters(bench) == [letter]

    (row,) = await bench.rows("dead-letters", "replay", letter)
    assert await letters(bench) == []
    new_task = row["task_id"]
    assert bench.files() == {f"{new_task}/input/0"}
    assert await bench.storage.get(f"{new_task}/input/0", max_bytes=99) == b"pixels of t1"
    assert await bench.redis.hget(bench.keys.task(new_task), "replay_of") == b"t1:0"
    state = await bench.tasks.state(new_task)
    assert state is not None
    assert (state.status, state.progress.total) == ("pending", 1)
    ((_, message),) = await bench.redis.xrange(bench.keys.images)
    assert message[b"filename"] == b"t1.jpg"
    before = await bench.tasks.state("t1")
    assert before is not None
    assert before.status == "failed"  # what was said of the old task stays said

    again = await bench.cli("dead-letters", "replay", letter)
    assert again.exit_code == 1
    assert again.stderr == f"plate-detect: {letter}: there is no dead letter {letter}\n"


async def test_replay_cut_off_half_way_and_two_at_once_make_one_task(bench: Bench) -> None:
    await dead_letter(bench, "t1")
    box = DeadLetters(bench.redis, bench.keys, bench.tasks, bench.storage)
    (letter,) = [found async for found in box.all()]
    first, second = await asyncio.gather(*(box.replay(letter, max_backlog=9) for _ in range(2)))
    third = await box.replay(letter, max_backlog=9)  # a letter that was not yet removed
    assert first == second == third
    assert await bench.tasks.backlog() == 1
    assert bench.files() == {f"{first}/input/0"}


async def test_replay_needs_the_original(bench: Bench) -> None:
    gone = await dead_letter(bench, "gone", keep=False)
    kept = await dead_letter(bench, "kept")
    refused = await bench.cli("dead-letters", "replay", "--all")
    assert refused.exit_code == 1
    assert f"plate-detect: {gone}: its original is gone" in refused.stderr
    assert f"{kept} replayed as" in refused.stdout  # the others are not held up
    assert await letters(bench) == [gone]
    assert (await bench.cli("dead-letters", "replay", gone, "--dry-run")).exit_code == 1


async def test_replay_into_a_full_backlog_changes_nothing(bench: Bench) -> None:
    letter = await dead_letter(bench, "t1")
    await bench.take("waiting")
    before = bench.files()
    refused = await bench.cli("dead-letters", "replay", letter, MAX_BACKLOG_IMAGES="1")
    assert refused.exit_code == 1
    assert "MAX_BACKLOG_IMAGES" in refused.stderr
    assert await letters(bench) == [letter]
    assert bench.files() == before


async def test_letter_that_names_a_foreign_original(bench: Bench) -> None:
    """Whoever can write to the stream must not get at files of other tasks by it."""
    await bench.storage.put("secret/input/0", b"theirs")
    await bench.storage.put("secret/quarantine/1-1", b"theirs")
    for fields in (
        {"task_id": "evil", "object": "secret/input/0"},
        {"task_id": "evil", "kept": "secret/quarantine/1-1"},
        {"task_id": "", "object": "/input/0"},
        {"task_id": "evil", "object": "evil/input/../../secret/input/0"},
    ):
        await bench.redis.xadd(bench.keys.dead_letters, {"reason": "x", **fields})
    assert (await bench.cli("dead-letters", "replay", "--all")).exit_code == 1
    assert len(await bench.rows("dead-letters", "purge", "--all")) == 4
    assert bench.files() == {"secret/input/0", "secret/quarantine/1-1"}
    assert await bench.tasks.backlog() == 0


async def test_purge(bench: Bench) -> None:
    first, second = await dead_letter(bench, "t1"), await dead_letter(bench, "t2")
    kept = bench.files()
    assert len(kept) == 2
    dry = await bench.cli("dead-letters", "purge", "--all", "--dry-run")
    assert dry.stdout.count("would be purged") == 2
    assert bench.files() == kept
    assert await letters(bench) == [first, second]
    assert (await bench.cli("dead-letters", "purge", first)).stdout == f"{first} purged\n"
    assert {file.split("/")[0] for file in bench.files()} == {"t2"}
    assert await letters(bench) == [second]


async def test_deleting_a_task_takes_its_kept_original_along(bench: Bench) -> None:
    letter = await dead_letter(bench, "t1")
    await bench.storage.delete_prefix(task_prefix("t1"))
    assert bench.files() == set()
    (row,) = await bench.rows("dead-letters", "show", letter)
    assert row["replayable"] is False


ODD_LETTERS: list[dict[bytes | str, bytes | str]] = [
    {"task_id": "t", "kept": "t/quarantine/../../x"},
    {"task_id": "t", "kept": "t/quarantine/", "entry": ""},
    {"task_id": "t", "kept": "t/quarantine//a", "entry": "/a"},
    {"task_id": "t", "kept": "t/quarantine/2-2", "entry": "1-1"},
    {"task_id": "../t", "kept": "../t/quarantine/1-1", "entry": "1-1"},
    {"task_id": "", "kept": "/quarantine/1-1", "entry": "1-1"},
    {"task_id": "t" * 300, "kept": "t" * 300 + "/quarantine/1-1", "entry": "1-1"},
    {"task_id": "t", "object": "t/input/a\\b"},
    {"task_id": "t", "object": "t/input/" + "ä" * 127},
    {"task_id": "t", "object": "t/input/%2e%2e"},
    {b"\xff": b"\xfe"},
]


async def test_a_letter_that_anybody_may_have_written_stops_no_other(bench: Bench) -> None:
    for fields in ODD_LETTERS:
        await bench.redis.xadd(bench.keys.dead_letters, {"reason": "odd", **fields})
    good = await dead_letter(bench, "good")
    await bench.storage.put("t/quarantine/2-2", b"of another letter")
    rows = await bench.rows("dead-letters", "list")
    assert [row["id"] for row in rows if row["replayable"]] == [good]
    replayed = await bench.cli("dead-letters", "replay", "--all")
    assert replayed.exit_code == 1
    assert replayed.stdout.startswith(f"{good} replayed as ")
    assert replayed.stderr.count("its original is gone") == len(ODD_LETTERS)
    purged = await bench.cli("dead-letters", "purge", "--all")
    assert (purged.exit_code, purged.stdout.count("purged")) == (0, len(ODD_LETTERS))
    assert "t/quarantine/2-2" in bench.files()
    assert await letters(bench) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "nonsense"],
        ["show", "1-1"],
        ["show", "+"],
        ["replay"],
        ["purge"],
        ["purge", "--all", "--reason", "x"],
        ["purge", "1-1", "--reason", "x"],
        ["replay", "1-1\x1b[31m"],
    ],
)
async def test_misuse_is_one_line(bench: Bench, arguments: list[str]) -> None:
    refused = await bench.cli("dead-letters", *arguments)
    assert refused.exit_code == 1
    assert refused.stdout == ""
    assert len(refused.stderr.splitlines()) == 1
    assert refused.stderr.startswith("plate-detect: ")
    assert "\x1b" not in refused.stderr


async def test_unusable_age(bench: Bench) -> None:
    refused = await bench.cli("dead-letters", "list", "--older-than", "soon")
    assert refused.exit_code == 2
    assert "90s, 15m, 2h or 3d" in refused.stderr


async def test_nothing_to_do_is_no_error(bench: Bench) -> None:
    done = await bench.cli("dead-letters", "purge", "--all")
    assert (done.exit_code, done.stderr) == (0, "no such dead letters\n")
    assert (await bench.cli("dead-letters", "purge", "--all", "--json")).output == ""


async def test_hostile_names_do_not_reach_the_terminal(bench: Bench) -> None:
    name = "\x1b]0;owned\x07[red]a[/red]\u202e"
    await bench.redis.xadd(bench.keys.dead_letters, {"reason": "x", "filename": name})
    ((letter, _),) = await bench.redis.xrange(bench.keys.dead_letters)
    for command in (["list"], ["show", letter.decode()]):
        shown = (await bench.cli("dead-letters", *command)).stdout
        assert "[red]a[/red]" in shown
        assert not {"\x1b", "\x07", "\u202e"} & set(shown)
    (row,) = await bench.rows("dead-letters", "list")
    assert row["filename"] == name
