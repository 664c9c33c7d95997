"""The client for asyncio."""

import asyncio
import math
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import IO, Self, TypeVar

import httpx

from plate_detect_client import flows, steps
from plate_detect_client.files import FileInput, source_files
from plate_detect_client.models import TaskState
from plate_detect_client.retry import RetryPolicy
from plate_detect_client.targets import Target

T = TypeVar("T")


class AsyncClient:
    """`Client` for asyncio, with the same calls. Files are read and written in threads."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout_seconds: float = 60.0,
        retry: RetryPolicy | None = None,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {} if api_key is None else {"X-API-Key": api_key}
        self._timeout_seconds = timeout_seconds
        self._retry = retry or RetryPolicy()
        self._http = http or httpx.AsyncClient(verify=ssl.create_default_context())
        self._owns_http = http is None

    async def submit(
        self, files: Iterable[FileInput], *, idempotency_key: str | None = None
    ) -> str:
        """Send images as one task, and return its id: see `Client.submit`."""
        key = idempotency_key or str(uuid.uuid4())
        sources = await asyncio.to_thread(source_files, files)
        return await self._run(flows.submit(sources, key, self._retry))

    async def status(self, task_id: str) -> TaskState:
        """Return the state of a task; raises NotFoundError."""
        return await self._run(flows.status(task_id, self._retry))

    async def wait(
        self,
        task_id: str,
        *,
        timeout_seconds: float | None = 300.0,
        idle_seconds: float = math.inf,
        on_progress: Callable[[TaskState], None] | None = None,
        absent_ok: bool = False,
    ) -> TaskState:
        """Wait until a task has ended, and return its state: see `Client.wait`."""
        waiting = flows.Waiting(
            task_id, timeout_seconds, idle_seconds=idle_seconds,
            on_progress=on_progress, absent_ok=absent_ok,
        )  # fmt: skip
        return await self._run(waiting.flow())

    async def results(self, task: str | TaskState) -> AsyncIterator[tuple[str, bytes]]:
        """Yield name and bytes of each result, one at a time in memory."""
        state = await self._state(task)
        for name in flows.result_names(state):
            yield name, await self._run(flows.fetch(state.task_id, name, self._retry))

    async def fetch_into(self, task_id: str, name: str, file: IO[bytes]) -> None:
        """Write one result into an open file, from the file's start: see `Client.fetch_into`."""
        await self._run(flows.fetch_into(task_id, name, file, self._retry))

    async def save_results(self, task: str | TaskState, folder: str | Path) -> list[Path]:
        """Write all results into a folder, and return their paths.

        A file of the same name is replaced, and never seen half-written.
        """
        state = await self._state(task)
        return [
            await self._run(flows.save(state.task_id, name, Path(folder), self._retry))
            for name in flows.result_names(state)
        ]

    async def delete(self, task_id: str) -> None:
        """Delete the files of a task at once, and cancel its images that are not done."""
        await self._run(flows.delete(task_id, self._retry))

    async def close(self) -> None:
        """Close the connections."""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _state(self, task: str | TaskState) -> TaskState:
        return task if isinstance(task, TaskState) else await self.status(task)

    async def _run(self, flow: steps.Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                try:
                    reply = await self._do(step)
                except httpx.TransportError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(reply)
        except StopIteration as end:
            value: T = end.value
            return value

    async def _do(self, step: steps.Call | steps.Pause) -> steps.Reply:
        if isinstance(step, steps.Pause):
            await asyncio.sleep(step.seconds)
            return steps.NO_REPLY
        async with self._http.stream(
            step.method,
            steps.address_of(step, self._base_url),
            content=None if step.form is None else step.form.stream(),
            headers=steps.request_headers(step, self._headers),
            timeout=steps.timeout_of(step, self._timeout_seconds),
        ) as response:
            body = step.new_body()
            if response.is_success and step.target is not None:
                await _write(await asyncio.to_thread(step.target), response)
            elif response.is_success and step.listen is not None:
                async for chunk in response.aiter_bytes():
                    if step.listen(chunk):
                        break
            else:
                async for chunk in response.aiter_bytes():
                    body.add(chunk)
            return steps.Reply(response.status_code, response.headers, body.content)


async def _write(target: Target, response: httpx.Response) -> None:
    with target:
        async for chunk in response.aiter_bytes():
            await asyncio.to_thread(target.write, chunk)
        await asyncio.to_thread(target.complete)
