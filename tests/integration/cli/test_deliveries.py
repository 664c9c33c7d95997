"""`plate-detect deliveries`: webhooks that wait or are dead, sent again or given up."""

from typing import Any

import pytest

from consumer.dispatcher.deliveries import DeliveryStore
from consumer.dispatcher.webhook import DeliveryKind, DeliveryState
from schemas.contract.events import CompletionEvent
from schemas.contract.tasks import ImageResult
from schemas.redis.keys import DISPATCHER_GROUP
from schemas.storage.layout import output_key
from tests.integration.cli.conftest import TTL_MS, Bench

pytestmark = pytest.mark.integration
UPLOAD, CALLBACK = DeliveryKind.UPLOAD, DeliveryKind.CALLBACK


def store(bench: Bench) -> DeliveryStore:
    return DeliveryStore(bench.redis, bench.keys, task_ttl_ms=TTL_MS)


async def deliver(bench: Bench, task_id: str) -> None:
    """A completed task whose two deliveries are due."""
    entry, message = await bench.take(task_id)
    await bench.storage.put(output_key(task_id, message.output_name), b"RIFF")
    result = ImageResult(filename=message.output_name, url="/x")
    assert await bench.tasks.finish(entry, message, result, {}) == "completed"
    if not await bench.redis.exists(bench.keys.events + ":read"):
        await bench.redis.set(bench.keys.events + ":read", 1)
        await bench.redis.xgroup_create(bench.keys.events, DISPATCHER_GROUP, "0")
    rows: Any = await bench.redis.xreadgroup(DISPATCHER_GROUP, "d", {bench.keys.events: ">"})
    ((event_entry, fields),) = rows[0][1]
    event = CompletionEvent.from_fields(fields)
    assert await store(bench).deliver(event_entry.decode(), event, [UPLOAD, CALLBACK]) == 2


async def settle(bench: Bench, task_id: str, kind: DeliveryKind, state: DeliveryState) -> str:
    """Try a delivery once, with this end; returns its id."""
    delivery_id = f"evt_{task_id}_{kind}"
    claim = await store(bench).claim(kind, delivery_id, lease_seconds=60)
    assert claim is not None
    assert await store(bench).settle(claim, state, reason="status 500", delay_seconds=600)
    return delivery_id


async def test_list_and_show(bench: Bench) -> None:
    await deliver(bench, "t1")
    dead = await settle(bench, "t1", UPLOAD, DeliveryState.DEAD)
    await deliver(bench, "t2")
    waiting = await settle(bench, "t2", CALLBACK, DeliveryState.DUE)
    await settle(bench, "t2", UPLOAD, DeliveryState.DELIVERED)

    rows = await bench.rows("deliveries", "list")
    assert {row["id"]: row["state"] for row in rows} == {
        dead: "dead", waiting: "due", "evt_t1_callback": "due",
    }  # fmt: skip
    assert rows[-1]["id"] == dead
    (row,) = await bench.rows("deliveries", "list", "--state", "dead")
    assert (row["id"], row["status"], row["due_in_seconds"]) == (dead, "status 500", None)
    (row,) = await bench.rows("deliveries", "list", "--kind", "callback", "--task", "t2")
    assert 590 < row["due_in_seconds"] <= 600
    assert {r["id"] for r in await bench.rows("deliveries", "list", "--reason", "status 500")} == {
        dead, waiting,
    }  # fmt: skip
    assert await bench.rows("deliveries", "list", "--older-than", "1h") == []
    assert len(await bench.rows("deliveries", "list", "--limit", "1")) == 1

    table = await bench.cli("deliveries", "list")
    assert all(text in table.stdout for text in (dead, waiting, "status 500"))
    shown = await bench.cli("deliveries", "show", dead)
    assert '"task_id":"t1"' in shown.stdout  # the payload
    assert "token" not in shown.stdout
    (row,) = await bench.rows("deliveries", "show", "evt_t2_upload")
    assert row["state"] == "delivered"


@pytest.mark.parametrize("state", [DeliveryState.DEAD, DeliveryState.DUE])
async def test_replay_is_due_at_once_under_the_same_id(bench: Bench, state: DeliveryState) -> None:
    await deliver(bench, "t1")
    delivery_id = await settle(bench, "t1", UPLOAD, state)
    await bench.redis.hset(bench.keys.delivery(delivery_id), "created_at", 1)
    dry = await bench.cli("deliveries", "replay", delivery_id, "--dry-run")
    assert dry.stdout == f"{delivery_id} would be replayed\n"
    assert (await store(bench).due(UPLOAD, 9)).ids == []

    done = await bench.cli("deliveries", "replay", delivery_id)
    assert done.stdout == f"{delivery_id} due now\n"
    assert (await store(bench).due(UPLOAD, 9)).ids == [delivery_id]
    assert await bench.rows("deliveries", "list", "--state", "dead") == []
    claim = await store(bench).claim(UPLOAD, delivery_id, lease_seconds=60)
    assert claim is not None
    assert claim.id == delivery_id
    assert (claim.attempts, claim.age_seconds < 60) == (1, True)  # all its tries before it
    assert b'"task_id":"t1"' in claim.payload
    assert await store(bench).settle(claim, DeliveryState.DELIVERED, reason="status 200")
    over = await bench.cli("deliveries", "replay", delivery_id)
    assert (over.exit_code, over.stderr) == (1, f"plate-detect: {delivery_id}: it is delivered\n")


async def test_a_try_under_way_does_not_undo_what_the_operator_did(bench: Bench) -> None:
    await deliver(bench, "t1")
    for kind, command in ((UPLOAD, "replay"), (CALLBACK, "purge")):
        delivery_id = f"evt_t1_{kind}"
        claim = await store(bench).claim(kind, delivery_id, lease_seconds=60)
        assert claim is not None
        assert (await bench.cli("deliveries", command, delivery_id)).exit_code == 0
        assert not await store(bench).settle(claim, DeliveryState.DEAD, reason="late")
    assert (await store(bench).due(UPLOAD, 9)).ids == ["evt_t1_upload"]
    assert (await store(bench).due(CALLBACK, 9)).total == 0
    assert await bench.rows("deliveries", "list", "--state", "dead") == []


async def test_replay_needs_what_it_would_send(bench: Bench) -> None:
    for task_id in ("files", "task", "deleted"):
        await deliver(bench, task_id)
        for kind in (UPLOAD, CALLBACK):
            await settle(bench, task_id, kind, DeliveryState.DEAD)
    await bench.storage.delete_prefix("files/output/")
    await bench.redis.delete(bench.keys.task("task"))
    await bench.tasks.delete("deleted")
    refused = await bench.cli("deliveries", "replay", "--state", "dead")
    assert refused.exit_code == 1
    assert refused.stdout == "evt_files_callback due now\n"
    assert set(refused.stderr.splitlines()) == {
        "plate-detect: evt_files_upload: its files are gone",
        "plate-detect: evt_task_upload: its task is gone",
        "plate-detect: evt_task_callback: its task is gone",
        "plate-detect: evt_deleted_upload: its task is gone",
        "plate-detect: evt_deleted_callback: its task is gone",
    }


@pytest.mark.parametrize("state", [DeliveryState.DEAD, DeliveryState.DUE])
async def test_purge_is_for_good(bench: Bench, state: DeliveryState) -> None:
    await deliver(bench, "t1")
    delivery_id = await settle(bench, "t1", UPLOAD, state)
    dry = await bench.cli("deliveries", "purge", "--kind", "upload", "--dry-run")
    assert dry.stdout == f"{delivery_id} would be purged\n"
    assert (await bench.cli("deliveries", "purge", "--kind", "upload")).exit_code == 0
    assert await bench.rows("deliveries", "list", "--kind", "upload") == []
    # The same event, read again, creates it no more.
    events: Any = await bench.redis.xrange(bench.keys.events)
    event = CompletionEvent.from_fields(events[0][1])
    assert await store(bench).deliver(events[0][0].decode(), event, [UPLOAD, CALLBACK]) == 0
    (row,) = await bench.rows("deliveries", "show", delivery_id)
    assert (row["state"], "payload" in row) == ("cancelled", False)
    again = await bench.cli("deliveries", "purge", delivery_id)
    assert again.exit_code == 1
    assert again.stderr == f"plate-detect: {delivery_id}: it is cancelled\n"


async def test_what_has_run_out_is_not_listed(bench: Bench) -> None:
    await deliver(bench, "t1")
    dead = await settle(bench, "t1", UPLOAD, DeliveryState.DEAD)
    await bench.redis.delete(bench.keys.delivery(dead), bench.keys.delivery("evt_t1_callback"))
    assert await bench.rows("deliveries", "list") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "evt_x_upload"],
        ["show", "nonsense"],
        ["replay"],
        ["purge", "evt_x_callback"],
        ["purge", "--all", "--state", "dead"],
    ],
)
async def test_misuse_is_one_line(bench: Bench, arguments: list[str]) -> None:
    refused = await bench.cli("deliveries", *arguments)
    assert refused.exit_code == 1
    assert len(refused.stderr.splitlines()) == 1
    assert refused.stderr.startswith("plate-detect: ")
