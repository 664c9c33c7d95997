"""What a process reports of its health, and what ends it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from consumer.health import EXIT_STATUS, Health, watchdog
from consumer.monitor import serve_monitor
from consumer.shutdown import stopping
from tests.support.ports import free_port

PROJECT = Path(__file__).resolve().parents[3]


class Clock:
    """Shows what a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock=clock)


async def served(health: Health) -> tuple[int, dict[str, Any]]:
    port = free_port()
    async with (
        serve_monitor(CollectorRegistry(), port, health),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/health") as response,
    ):
        return response.status, await response.json()


async def test_health_names_the_reason_until_it_is_gone(health: Health) -> None:
    health.expect("model", "the model is not loaded")
    assert await served(health) == (
        503, {"status": "stuck", "reasons": ["the model is not loaded"]}
    )  # fmt: skip
    health.meet("model")
    assert await served(health) == (200, {"status": "ok"})


def test_a_loop_without_progress_and_a_hung_call_are_problems(health: Health, clock: Clock) -> None:
    health.beat("read")
    with health.deadline("forward pass", 30):
        clock.now = 1015
        assert health.problems == []
        clock.now = 1061
        assert health.problems == [
            "the read loop has made no progress for 61 s",
            "a forward pass has hung for 61 s",
        ]
        health.beat("read")
    assert health.problems == []


def test_a_loop_may_rest_before_its_next_pass(health: Health, clock: Clock) -> None:
    health.beat("sweep", 600)
    clock.now = 1660
    assert health.problems == []
    clock.now = 1661
    assert health.problems == ["the sweep loop has made no progress for 661 s"]


def test_a_loop_that_waits_for_guarded_work_is_no_problem(health: Health, clock: Clock) -> None:
    health.beat("reclaim")
    with health.paused("reclaim"):
        clock.now = 5000
        assert health.problems == []
    clock.now = 5060
    assert health.problems == []
    clock.now = 5061
    assert health.problems == ["the reclaim loop has made no progress for 61 s"]
    with pytest.raises(OSError, match=r"^lost$"), health.paused("reclaim"):
        raise OSError("lost")
    assert health.problems == []


async def test_a_signal_after_the_end_begins_no_stop(health: Health) -> None:
    async with stopping(health, drain_seconds=10) as begin:
        pass
    begin()
    assert health.calls == []


async def test_a_long_drain_is_no_problem(health: Health, clock: Clock) -> None:
    async with stopping(health, drain_seconds=10) as begin:
        begin()
        [stop] = health.calls
        clock.now += 13
        assert clock.now > stop.since + stop.limit_seconds / 2
        assert health.problems == []
    assert health.calls == []


@contextmanager
def watched(health: Health, clock: "Ticks") -> Iterator[tuple[list[str], threading.Event]]:
    reasons: list[str] = []
    ended = threading.Event()

    def end(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    with watchdog(health, end, tick_seconds=0.01, clock=clock):
        yield reasons, ended


class Ticks:
    """A clock of a watchdog, which moves by a step each time that it is read."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step
        self.read = threading.Semaphore(0)

    def __call__(self) -> float:
        self.now += self.step
        self.read.release()
        return self.now

    def wait(self, times: int) -> None:
        for _ in range(times):
            assert self.read.acquire(timeout=10)


def test_the_watchdog_ends_a_call_that_does_not_end(health: Health) -> None:
    with watched(health, Ticks(0.01)) as (reasons, ended), health.deadline("forward pass", 0.2):
        assert ended.wait(10)
    assert reasons == ["a forward pass has not ended within 0.2 s"]


def test_the_watchdog_ignores_many_short_calls(health: Health) -> None:
    ticks = Ticks(0.01)
    with watched(health, ticks) as (reasons, _):
        for _ in range(20):
            with health.deadline("forward pass", 0.1):
                ticks.wait(2)
    assert reasons == []


def test_time_in_which_the_process_was_stopped_does_not_count(health: Health) -> None:
    ticks = Ticks(3600)
    with watched(health, ticks) as (reasons, _), health.deadline("forward pass", 30):
        ticks.wait(20)
    assert reasons == []


def test_hung_event_loop_ends_the_process_though_a_thread_never_returns() -> None:
    program = """
import asyncio, threading, time
from consumer.health import Health, guarded

threading.Thread(target=time.sleep, args=(600,)).start()

async def main():
    async with guarded(Health(), loop_limit_seconds=0.5):
        await asyncio.sleep(0.2)
        time.sleep(600)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, cwd=PROJECT, env={**os.environ},
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.returncode == EXIT_STATUS
    assert "turn of the event loop has not ended" in done.stdout + done.stderr
    assert 'File "<string>", line 10 in main' in done.stderr
