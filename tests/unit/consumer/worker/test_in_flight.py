"""What a worker has in flight: bounded, and an exclusive entry never beside another."""

import asyncio

import pytest

from consumer.worker.in_flight import InFlight
from consumer.worker.stream import Entry


def entry(name: str) -> Entry:
    return Entry("images", f"{name}-0", {}, 1)


async def settled() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_read_reserves_the_free_slots() -> None:
    in_flight = InFlight(3)
    async with in_flight.reserve(timeout_seconds=60) as free:
        assert free == 3
        in_flight.add(entry("1"))
        in_flight.add(entry("2"))
    async with in_flight.reserve(timeout_seconds=60) as free:
        assert free == 1
    assert in_flight.keys == [entry("1").key, entry("2").key]


async def test_without_a_free_slot_a_read_waits_for_a_removal() -> None:
    in_flight = InFlight(1)
    in_flight.add(entry("1"))

    async def read() -> int:
        async with in_flight.reserve(timeout_seconds=60) as free:
            return free

    waiting = asyncio.create_task(read())
    await settled()
    assert not waiting.done()
    await in_flight.remove(entry("1").key)
    assert await waiting == 1


async def test_wait_for_a_slot_times_out() -> None:
    in_flight = InFlight(1)
    in_flight.add(entry("1"))
    async with in_flight.reserve(timeout_seconds=0.01) as free:
        assert free == 0
    await in_flight.remove(entry("1").key)
    async with in_flight.reserve(timeout_seconds=0.01) as free:
        assert free == 1


async def test_exclusive_waits_for_entries_in_flight_and_for_a_read() -> None:
    in_flight = InFlight(4)
    in_flight.add(entry("1"))
    exclusive = asyncio.Event()

    async def redelivered() -> None:
        async with in_flight.exclusive(timeout_seconds=60) as allowed:
            assert allowed
            exclusive.set()
            await asyncio.sleep(0)
            assert len(in_flight) == 0

    async with in_flight.reserve(timeout_seconds=60):
        task = asyncio.create_task(redelivered())
        await settled()
        await in_flight.remove(entry("1").key)
        await settled()
        assert not exclusive.is_set(), "a read was running"
    await task
    assert exclusive.is_set()


async def test_no_read_starts_while_one_waits_to_be_exclusive() -> None:
    in_flight = InFlight(4)
    in_flight.add(entry("1"))
    order: list[str] = []

    async def redelivered() -> None:
        async with in_flight.exclusive(timeout_seconds=60):
            order.append("exclusive")

    async def read() -> None:
        async with in_flight.reserve(timeout_seconds=60):
            order.append("read")

    tasks = [asyncio.create_task(redelivered())]
    await settled()
    tasks.append(asyncio.create_task(read()))
    await settled()
    assert order == []
    await in_flight.remove(entry("1").key)
    await asyncio.gather(*tasks)
    assert order == ["exclusive", "read"]


async def test_nothing_is_reserved_after_close() -> None:
    in_flight = InFlight(1)
    in_flight.add(entry("1"))

    async def read() -> int:
        async with in_flight.reserve(timeout_seconds=60) as free:
            return free

    async def redelivered() -> bool:
        async with in_flight.exclusive(timeout_seconds=60) as allowed:
            return allowed

    waiting = asyncio.gather(read(), redelivered())
    await settled()
    await in_flight.close()
    async with asyncio.timeout(1):
        assert await waiting == [0, False]


async def test_exclusive_times_out_when_an_entry_does_not_end() -> None:
    in_flight = InFlight(2)
    in_flight.add(entry("1"))
    async with in_flight.exclusive(timeout_seconds=0.01) as allowed:
        assert not allowed
    async with asyncio.timeout(1), in_flight.reserve(timeout_seconds=60) as free:
        assert free == 1, "reading continues"


async def test_a_cancelled_wait_for_exclusive_lets_reads_continue() -> None:
    in_flight = InFlight(2)
    in_flight.add(entry("1"))

    async def redelivered() -> None:
        async with in_flight.exclusive(timeout_seconds=60):
            pytest.fail("was never exclusive")

    task = asyncio.create_task(redelivered())
    await settled()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(1), in_flight.reserve(timeout_seconds=60) as free:
        assert free == 1


async def test_a_reservation_ahead_has_the_next_free_slots_and_reads_the_rest() -> None:
    in_flight = InFlight(3)
    order: list[tuple[str, int]] = []

    async def ahead() -> None:
        async with in_flight.reserve_ahead(2, timeout_seconds=60) as free:
            order.append(("ahead", free))
            for number in range(free):
                in_flight.add(entry(f"old-{number}"))

    async def read() -> None:
        async with in_flight.reserve(timeout_seconds=60) as free:
            order.append(("read", free))

    async with in_flight.reserve(timeout_seconds=60) as free:
        assert free == 3
        tasks = [asyncio.create_task(ahead())]
        await settled()
        tasks.append(asyncio.create_task(read()))
        await settled()
        assert order == []
    await asyncio.gather(*tasks)
    assert order == [("ahead", 2), ("read", 1)]


async def test_two_reservations_never_share_a_slot() -> None:
    in_flight = InFlight(4)
    async with (
        in_flight.reserve_ahead(3, timeout_seconds=1) as ahead,
        in_flight.reserve(timeout_seconds=60) as read,
    ):
        assert (ahead, read) == (3, 1)
        async with in_flight.reserve_ahead(1, timeout_seconds=0.01) as none:
            assert none == 0


async def test_nothing_is_reserved_ahead_after_close() -> None:
    in_flight = InFlight(2)
    await in_flight.close()
    async with in_flight.reserve_ahead(1, timeout_seconds=60) as free:
        assert free == 0
