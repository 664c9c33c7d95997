"""The three steps of a delivery on a real server: every result, and each step twice."""

import pytest

from consumer.dispatcher.deliveries import DeliveryStore
from consumer.dispatcher.webhook import Delivery, DeliveryKind, DeliveryState
from schemas.contract.events import CompletionEvent
from schemas.redis.keys import DISPATCHER_GROUP
from schemas.redis.scripts import Scripts
from tests.integration.dispatcher.conftest import TTL_MS, World

pytestmark = pytest.mark.integration
UPLOAD, CALLBACK = DeliveryKind.UPLOAD, DeliveryKind.CALLBACK


@pytest.fixture
def store(world: World) -> DeliveryStore:
    return DeliveryStore(world.redis, world.keys, task_ttl_ms=TTL_MS)


async def read_event(world: World, task_id: str = "t1") -> tuple[str, CompletionEvent]:
    await world.complete_task(task_id)
    await world.redis.xgroup_create(world.keys.events, DISPATCHER_GROUP, "0")
    reply = await world.redis.xreadgroup(DISPATCHER_GROUP, "d", {world.keys.events: ">"})
    [(entry, fields)] = reply[0][1]
    return entry.decode(), CompletionEvent.from_fields(fields)


async def pending(world: World) -> int:
    return (await world.redis.xpending(world.keys.events, DISPATCHER_GROUP))["pending"]


async def end_lease(world: World) -> None:
    """As if the lease of the claim had ended."""
    await world.redis.zadd(world.keys.due_deliveries("callback"), {"evt_t1_callback": 0}, xx=True)


async def claimed(world: World, store: DeliveryStore) -> Delivery:
    entry, event = await read_event(world)
    await store.deliver(entry, event, [CALLBACK])
    claim = await store.claim(CALLBACK, "evt_t1_callback", lease_seconds=60)
    assert claim is not None
    return claim


async def test_deliver_creates_once_and_acks(world: World, store: DeliveryStore) -> None:
    entry, event = await read_event(world)
    assert await pending(world) == 1
    assert await store.deliver(entry, event, [UPLOAD, CALLBACK]) == 2
    assert await pending(world) == 0
    assert await store.deliver(entry, event, [UPLOAD, CALLBACK]) == 0
    assert (await store.due(UPLOAD, 10)).ids == ["evt_t1_upload"]
    assert (await store.due(CALLBACK, 10)).ids == ["evt_t1_callback"]
    assert await world.redis.pttl(world.keys.delivery("evt_t1_upload")) > TTL_MS


@pytest.mark.parametrize("state", [DeliveryState.DEAD, DeliveryState.DELIVERED])
async def test_a_later_task_of_the_same_id_is_reported_too(
    world: World, store: DeliveryStore, state: DeliveryState
) -> None:
    claim = await claimed(world, store)
    await store.settle(claim, state, reason="status 410")
    [(entry, fields)] = await world.redis.xrange(world.keys.events)
    event = CompletionEvent.from_fields(fields)
    assert await store.deliver(entry.decode(), event, [CALLBACK]) == 0
    later = f"{int(entry.split(b'-')[0]) + TTL_MS}-0"
    assert await store.deliver(later, event, [CALLBACK]) == 1
    assert (await store.due(CALLBACK, 10)).ids == ["evt_t1_callback"]
    assert not await world.redis.zcard(world.keys.dead_deliveries)


async def test_an_address_set_later_gets_its_own_delivery_of_an_event_read_again(
    world: World, store: DeliveryStore
) -> None:
    entry, event = await read_event(world)
    assert await store.deliver(entry, event, [CALLBACK]) == 1
    assert await store.deliver(entry, event, [UPLOAD, CALLBACK]) == 1


async def test_an_event_older_than_a_task_lives_is_acked_and_not_sent(
    world: World, store: DeliveryStore
) -> None:
    _, event = await read_event(world)
    assert await store.deliver("1-0", event, [UPLOAD, CALLBACK]) == -1
    assert (await store.due(UPLOAD, 10)).total == 0


async def test_a_claim_is_exclusive_until_its_lease_ends(
    world: World, store: DeliveryStore
) -> None:
    first = await claimed(world, store)
    assert (first.attempts, first.task_id) == (1, "t1")
    assert await store.claim(CALLBACK, "evt_t1_callback", lease_seconds=60) is None
    due = await store.due(CALLBACK, 10)
    assert due.ids == []
    assert due.next_seconds is not None
    assert 0 < due.next_seconds <= 60
    await end_lease(world)
    second = await store.claim(CALLBACK, "evt_t1_callback", lease_seconds=60)
    assert second is not None
    assert second.attempts == 2
    assert second.age_seconds >= first.age_seconds


async def test_the_loser_of_a_claim_changes_nothing(world: World, store: DeliveryStore) -> None:
    first = await claimed(world, store)
    await end_lease(world)
    second = await store.claim(CALLBACK, "evt_t1_callback", lease_seconds=60)
    assert second is not None
    assert not await store.settle(first, DeliveryState.DELIVERED, reason="late")
    assert (await world.delivery("t1", "callback"))["state"] == "due"
    assert await store.settle(second, DeliveryState.DELIVERED, reason="status 200")


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.CANCELLED])
async def test_what_has_ended_is_never_due_again_and_drops_its_payload(
    world: World, store: DeliveryStore, state: DeliveryState
) -> None:
    claim = await claimed(world, store)
    for _ in range(2):  # the second call repeats one whose response was lost
        assert await store.settle(claim, state, reason="status 200")
    held = await world.delivery("t1", "callback")
    assert (held["state"], held["status"]) == (state, "status 200")
    assert "payload" not in held
    assert (await store.due(CALLBACK, 10)).total == 0


async def test_a_dead_delivery_keeps_its_payload(world: World, store: DeliveryStore) -> None:
    claim = await claimed(world, store)
    assert await store.settle(claim, DeliveryState.DEAD, reason="status 410")
    assert "payload" in await world.delivery("t1", "callback")
    assert (await store.due(CALLBACK, 10)).total == 0


async def test_a_retry_is_due_after_its_delay(world: World, store: DeliveryStore) -> None:
    claim = await claimed(world, store)
    assert await store.settle(claim, DeliveryState.DUE, reason="status 500", delay_seconds=30)
    due = await store.due(CALLBACK, 10)
    assert due.ids == []
    assert due.next_seconds == pytest.approx(30, abs=1)


async def test_a_claim_repeated_after_a_lost_response_is_one_attempt(
    world: World, store: DeliveryStore
) -> None:
    claim = await claimed(world, store)
    again = await Scripts(world.redis, world.keys).claim_delivery(
        CALLBACK, "evt_t1_callback", token=claim.token, lease_ms=60_000
    )
    assert again is not None
    assert again.attempts == 1


async def test_a_delivery_that_expired_leaves_the_queue(world: World, store: DeliveryStore) -> None:
    entry, event = await read_event(world)
    await store.deliver(entry, event, [CALLBACK])
    await world.redis.delete(world.keys.delivery("evt_t1_callback"))
    assert await store.claim(CALLBACK, "evt_t1_callback", lease_seconds=60) is None
    assert (await store.due(CALLBACK, 10)).total == 0
    assert not await world.redis.exists(world.keys.delivery("evt_t1_callback"))


async def test_more_that_is_due_than_asked_for_is_due_at_once(
    world: World, store: DeliveryStore
) -> None:
    for number in range(3):
        await world.redis.zadd(world.keys.due_deliveries("callback"), {f"d{number}": number})
    due = await store.due(CALLBACK, 2)
    assert (due.ids, due.next_seconds, due.total) == (["d0", "d1"], 0, 3)
    due = await store.due(CALLBACK, 3)
    assert (due.ids, due.next_seconds) == (["d0", "d1", "d2"], None)
