"""What a process tells of its health, and what ends it."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from consumer import health as vitals_module
from consumer.health import Health
from consumer.monitor import serve_monitor
from consumer.watchdog import EXIT_STATUS, Watchdog, stopping
from tests.support.ports import NEEDS_IPV6, free_port

PROJECT = Path(__file__).resolve().parents[3]


async def asked(health: Health) -> tuple[int, dict[str, Any]]:
    port = free_port()
    async with (
        serve_monitor(CollectorRegistry(), port, lambda: health.problems),
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/health") as answer,
    ):
        return answer.status, await answer.json()


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("[::1]", marks=NEEDS_IPV6)])
async def test_health_is_reached_over_both_families(host: str) -> None:
    port = free_port()
    async with (
        serve_monitor(CollectorRegistry(), port, tuple),
        aiohttp.ClientSession() as session,
        session.get(f"http://{host}:{port}/health") as answer,
    ):
        assert answer.status == 200


async def test_health_names_the_reason_until_it_is_gone() -> None:
    health = Health()
    health.expect("model", "the model is not loaded")
    assert await asked(health) == (
        503, {"status": "stuck", "reasons": ["the model is not loaded"]}
    )  # fmt: skip
    health.meet("model")
    assert await asked(health) == (200, {"status": "ok"})


async def test_silent_loop_and_hung_call_are_complaints(monkeypatch: pytest.MonkeyPatch) -> None:
    health, now = Health(), 1000.0
    monkeypatch.setattr(vitals_module.time, "monotonic", lambda: now)
    health.beat("read")
    with health.deadline("forward pass", 30):
        now = 1015.0
        assert health.problems == []
        now = 1061.0
        assert health.problems == [
            "the read loop has made no progress for 61 s",
            "a forward pass has hung for 61 s",
        ]
        health.beat("read")
    assert health.problems == []


async def test_a_signal_after_the_end_begins_no_stop() -> None:
    health = Health()
    async with stopping(health, drain_seconds=10) as begin:
        pass
    begin()
    assert health.under_way == []


async def test_a_drain_that_takes_its_time_is_no_complaint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    health = Health()
    async with stopping(health, drain_seconds=10) as begin:
        begin()
        [stop] = health.under_way
        with monkeypatch.context() as patched:
            patched.setattr(vitals_module.time, "monotonic", lambda: stop.since + 13)
            assert stop.since + 13 > stop.since + stop.limit_seconds / 2
            assert health.problems == []
    assert health.under_way == []


async def test_loop_that_waits_for_guarded_work_is_not_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    health, now = Health(), 1000.0
    monkeypatch.setattr(vitals_module.time, "monotonic", lambda: now)
    health.beat("reclaim")
    with health.paused("reclaim"):
        now = 5000.0
        assert health.problems == []
    now = 5060.0
    assert health.problems == []
    now = 5061.0
    assert health.problems == ["the reclaim loop has made no progress for 61 s"]
    with pytest.raises(OSError), health.paused("reclaim"):  # noqa: PT011
        raise OSError
    assert health.problems == []


@contextmanager
def watched(health: Health) -> Iterator[tuple[list[str], threading.Event]]:
    reasons: list[str] = []
    ended = threading.Event()

    def end(reason: str) -> None:
        reasons.append(reason)
        ended.set()

    watchdog = Watchdog(health, end, tick_seconds=0.02)
    watchdog.start()
    try:
        yield reasons, ended
    finally:
        watchdog.stop()


def test_watchdog_bites_a_call_that_does_not_end() -> None:
    health = Health()
    with watched(health) as (reasons, ended), health.deadline("forward pass", 0.2):
        assert ended.wait(5)
    assert reasons == ["a forward pass has not ended within 0.2 s"]


def test_watchdog_leaves_many_short_calls_alone() -> None:
    health = Health()
    with watched(health) as (reasons, _):
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            with health.deadline("forward pass", 0.3):
                time.sleep(0.01)
    assert reasons == []


def test_time_in_which_the_process_was_stopped_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    health = Health()
    real, leap = time.monotonic, 0.0
    monkeypatch.setattr(time, "monotonic", lambda: real() + leap)
    with watched(health) as (_, ended), health.deadline("forward pass", 30):
        assert not ended.wait(0.1)
        leap = 3600.0
        assert not ended.wait(0.2)


def test_hung_event_loop_ends_the_process_though_a_thread_never_returns() -> None:
    program = """
import asyncio, threading, time
from consumer import watchdog
from consumer.health import Health

watchdog.LOOP_LIMIT_SECONDS = 0.5
threading.Thread(target=time.sleep, args=(600,)).start()

async def main():
    async with watchdog.guarded(Health()):
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
    assert 'File "<string>", line 12 in main' in done.stderr
