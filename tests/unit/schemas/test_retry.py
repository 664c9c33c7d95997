"""Waiting while a server is unavailable, and for no other error."""

import asyncio

import pytest
from redis.asyncio.sentinel import MasterNotFoundError
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    ReadOnlyError,
    ResponseError,
)
from structlog.testing import capture_logs

from schemas.logs import described
from schemas.retry import Backoff, StoppedError, concerns_one, retry_until_stopped, run_periodically
from schemas.storage.storage import StorageError


async def test_an_outage_is_logged_once_and_its_end_once() -> None:
    outcomes: list[Exception | None] = [
        ReadOnlyError("failover"), StorageError("full"), OSError("reset"), None, None,
    ]  # fmt: skip
    stop = asyncio.Event()

    async def step() -> float:
        outcome = outcomes.pop(0)
        if not outcomes:
            stop.set()
        if outcome is not None:
            raise outcome
        return 0

    with capture_logs() as lines:
        await run_periodically("test", step, stop)
    assert [line["event"] for line in lines] == ["interrupted", "resumed"]


async def test_an_unknown_error_ends_the_loop() -> None:
    async def step() -> float:
        raise KeyError("defect")

    with pytest.raises(KeyError):
        await run_periodically("test", step, asyncio.Event())


async def test_a_wait_ends_with_a_stop_or_a_wakeup() -> None:
    stop, wakeup, turns = asyncio.Event(), asyncio.Event(), 0

    async def step() -> float:
        nonlocal turns
        turns += 1
        wakeup.set() if turns == 1 else stop.set()
        return 3600

    async with asyncio.timeout(5):
        await run_periodically("test", step, stop, wakeup=wakeup)
    assert turns == 2


async def test_a_call_is_repeated_while_its_server_is_unavailable() -> None:
    outcomes: list[Exception | str] = [OSError("reset"), ReadOnlyError("failover"), "done"]

    async def call() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert await retry_until_stopped(call, asyncio.Event()) == "done"


async def test_a_command_that_redis_refuses_is_not_repeated() -> None:
    calls = 0

    async def call() -> None:
        nonlocal calls
        calls += 1
        raise ResponseError("WRONGTYPE Operation against a key")

    with pytest.raises(ResponseError):
        await retry_until_stopped(call, asyncio.Event())
    assert calls == 1


async def test_a_stop_ends_the_repeats() -> None:
    stop = asyncio.Event()

    async def call() -> None:
        stop.set()
        raise OSError("reset")

    with pytest.raises(StoppedError):
        await retry_until_stopped(call, stop)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ResponseError("WRONGTYPE Operation against a key"), True),
        (KeyError("no such field"), True),
        (ResponseError("NOGROUP No such key"), False),
        (ResponseError("MISCONF Redis is configured to save"), False),
        (OSError("reset"), False),
        (StorageError("full"), False),
        (StoppedError(), False),
    ],
)
def test_what_concerns_one_item_only(error: Exception, expected: bool) -> None:
    assert concerns_one(error) is expected


def test_delays_double_up_to_the_cap_and_start_again_after_a_success() -> None:
    backoff = Backoff(base=0.1, cap=2.0)
    delays = [backoff.next_delay() for _ in range(8)]
    for delay, longest in zip(delays, [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2, 2], strict=True):
        assert longest / 2 <= delay <= longest
    backoff.reset()
    assert backoff.next_delay() <= 0.1


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (MovedError("1 host:6379"), "MOVED"),
        (AskError("1 host:6379"), "ASK"),
        (ClusterDownError("no slots"), "CLUSTERDOWN"),
        (ClusterCrossSlotError(), "CROSSSLOT"),
    ],
)
def test_a_node_of_a_cluster_costs_no_image_and_is_named(error: ResponseError, word: str) -> None:
    assert not concerns_one(error)
    assert "a node of a Redis Cluster, which responds with" in described(error)
    assert word in described(error)


def test_a_replica_without_primary_is_no_node_of_a_cluster() -> None:
    assert not concerns_one(MasterDownError("no primary"))
    assert "Cluster" not in described(MasterDownError("no primary"))


def test_a_missing_master_is_described_in_few_words() -> None:
    """The message goes on with all settings of the connections to the Sentinels."""
    error = MasterNotFoundError("No master found for 'plates' : <redis.Redis(<pool(db=0,…)>)>")
    assert described(error) == "MasterNotFoundError: No master found for 'plates'"
