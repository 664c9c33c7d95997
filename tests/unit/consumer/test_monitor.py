"""Every consumer process finds a port for its metrics, whoever else listens on this host."""

import asyncio
import socket
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from consumer import monitor
from consumer.monitor import MonitorError, serve_monitor
from tests.support.ports import free_port


def served(port: int) -> AbstractAsyncContextManager[None]:
    return serve_monitor(CollectorRegistry(), port, list)


async def answers(port: int) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/health") as answer,
    ):
        return answer.status


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ports that processes said they serve, in turn."""
    said: list[int] = []

    class Log:
        def info(self, event: str, *, port: int) -> None:
            assert event == "metrics on port"
            said.append(port)

    monkeypatch.setattr(monitor, "log", Log())
    return said


async def test_each_process_has_the_next_port_and_says_so(ports: list[int]) -> None:
    first = free_port()
    async with AsyncExitStack() as processes:
        for _ in range(3):
            await processes.enter_async_context(served(first))
        assert ports[0] == first
        assert sorted(set(ports)) == ports
        assert len(ports) == 3
        assert [await answers(port) for port in ports] == [200, 200, 200]


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_a_port_of_somebody_else_is_left_to_him(host: str, ports: list[int]) -> None:
    first = free_port()
    with socket.create_server((host, first)):
        async with served(first):
            assert first < ports[0] < first + monitor.MOST_PROCESSES


async def test_processes_that_start_together_never_share(ports: list[int]) -> None:
    first = free_port()
    async with AsyncExitStack() as processes:
        await asyncio.gather(*(processes.enter_async_context(served(first)) for _ in range(20)))
        assert len(set(ports)) == 20


async def test_no_port_at_all_is_told_in_one_line() -> None:
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(monitor, "MOST_PROCESSES", 1)
            with pytest.raises(MonitorError, match=rf"^METRICS_PORT={port}: no port .* is free$"):
                async with served(port):
                    pass


async def test_the_last_port_is_the_end(ports: list[int]) -> None:
    told = pytest.raises(MonitorError, match=r"no port from 65535 to 65535 is free$")
    with socket.create_server(("", 65_535)), told:
        async with served(65_535):
            pass


async def test_zero_serves_nothing(ports: list[int]) -> None:
    async with served(0):
        assert not ports
