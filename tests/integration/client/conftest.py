"""Both clients with one face, and a real producer on a real server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from plate_detect_client import AsyncClient, Client, RetryPolicy, TaskState
from tests.integration.producer.conftest import (  # fixtures
    RunningProducer,
    StartProducer,
    producer,
    start_producer,
)

__all__ = ["RunningProducer", "StartProducer", "producer", "start_producer"]

QUICK = RetryPolicy(total_seconds=20, base_seconds=0.01, cap_seconds=0.1)


class Calls:
    """`Client` in a thread, or `AsyncClient`: a test is the same for both."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self._client = client

    async def submit(self, *args: Any, **options: Any) -> str:
        return str(await self._call(self._client.submit, *args, **options))

    async def status(self, task_id: str) -> TaskState:
        return TaskState.model_validate(await self._call(self._client.status, task_id))

    async def wait(self, task_id: str, **options: Any) -> TaskState:
        return TaskState.model_validate(await self._call(self._client.wait, task_id, **options))

    async def save(self, task: str | TaskState, folder: Path) -> list[Path]:
        return list(await self._call(self._client.save_results, task, folder))

    async def fetch_into(self, task_id: str, name: str, file: IO[bytes]) -> None:
        await self._call(self._client.fetch_into, task_id, name, file)

    async def delete(self, task_id: str) -> None:
        await self._call(self._client.delete, task_id)

    async def results(self, task: str | TaskState) -> dict[str, bytes]:
        if isinstance(self._client, AsyncClient):
            return {name: data async for name, data in self._client.results(task)}
        found = self._client.results(task)
        return await asyncio.to_thread(dict, found)

    async def _call(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        if isinstance(self._client, AsyncClient):
            return await method(*args, **options)
        return await asyncio.to_thread(method, *args, **options)


Connect = Callable[..., AbstractAsyncContextManager[Calls]]


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Connect:
    """Open a client of either kind, which repeats quickly.

    `own`: options of an HTTP client of one's own.
    """

    @asynccontextmanager
    async def opened(
        url: str, api_key: str | None = None, own: dict[str, Any] | None = None, **options: Any
    ) -> AsyncIterator[Calls]:
        options = {"retry": QUICK} | options
        if request.param == "async":
            async with httpx.AsyncClient(**own or {}) as http:
                options |= {"http": http} if own else {}
                async with AsyncClient(url, api_key, **options) as asynchronous:
                    yield Calls(asynchronous)
        else:
            with httpx.Client(**own or {}) as plain:
                options |= {"http": plain} if own else {}
                with Client(url, api_key, **options) as client:
                    yield Calls(client)

    return opened
