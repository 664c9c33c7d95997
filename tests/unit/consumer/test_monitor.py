"""Every consumer process finds a port for its metrics, whatever else listens on this host."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import aiohttp
import psutil
import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs
from structlog.typing import EventDict

from consumer.errors import ConsumerError
from consumer.health import Health
from consumer.monitor import MAX_PROCESSES, serve_monitor
from tests.support.ports import NEEDS_IPV6, free_port


def served(port: int, processes: int = MAX_PROCESSES) -> AbstractAsyncContextManager[None]:
    return serve_monitor(CollectorRegistry(), port, Health(), processes=processes)


async def status_of(port: int, host: str = "127.0.0.1") -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{host}:{port}/health") as response,
    ):
        return response.status


async def test_metrics_tell_what_health_tells() -> None:
    port, health = free_port(), Health()
    async with serve_monitor(CollectorRegistry(), port, health), aiohttp.ClientSession() as client:

        async def lines() -> list[str]:
            async with client.get(f"http://127.0.0.1:{port}/metrics") as response:
                return (await response.text()).splitlines()

        assert "plate_health_problems 0.0" in await lines()
        health.expect("model", "the model is not loaded")
        assert "plate_health_problems 1.0" in await lines()
        (limit,) = (line for line in await lines() if line.startswith("plate_memory_limit_bytes "))
        assert 0 < float(limit.split()[1]) <= psutil.virtual_memory().total


@pytest.fixture
def lines() -> Iterator[list[EventDict]]:
    """What processes log, in turn."""
    with capture_logs() as captured:
        yield captured


def ports(lines: list[EventDict]) -> list[int]:
    return [line["port"] for line in lines if line["event"] == "metrics on port"]


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("[::1]", marks=NEEDS_IPV6)])
async def test_health_is_reached_over_both_families(host: str) -> None:
    port = free_port()
    async with served(port):
        assert await status_of(port, host) == 200


async def test_each_process_has_the_next_port_and_logs_it(lines: list[EventDict]) -> None:
    first = free_port()
    async with AsyncExitStack() as processes:
        for _ in range(3):
            await processes.enter_async_context(served(first))
        found = ports(lines)
        assert found[0] == first
        assert sorted(set(found)) == found
        assert len(found) == 3
        assert [await status_of(port) for port in found] == [200, 200, 200]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_a_port_of_another_program_is_not_used(host: str, lines: list[EventDict]) -> None:
    first = free_port()
    with socket.create_server((host, first)):
        async with served(first):
            assert first < ports(lines)[0] < first + MAX_PROCESSES


async def test_processes_that_start_together_never_share(lines: list[EventDict]) -> None:
    first = free_port()
    async with AsyncExitStack() as processes:
        await asyncio.gather(*(processes.enter_async_context(served(first)) for _ in range(20)))
        assert len(set(ports(lines))) == 20


async def test_no_port_at_all_is_an_error_of_one_line() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConsumerError, match=rf"^METRICS_PORT={port}: no port .* is free$"):
            async with served(port, processes=1):
                pass


async def test_the_last_port_is_the_end() -> None:
    refused = pytest.raises(ConsumerError, match=r"no port from 65535 to 65535 is free$")
    with socket.create_server(("", 65_535)), refused:
        async with served(65_535):
            pass


async def test_zero_serves_nothing(lines: list[EventDict]) -> None:
    async with served(0):
        assert ports(lines) == []
