"""The load: tasks over HTTP or straight onto the stream, and how long they took."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
from prometheus_client.parser import text_string_to_metric_families
from redis.asyncio import Redis

from tests.bench.processes import BenchError

POLL_SECONDS = 0.1
TASK_TIMEOUT_SECONDS = 300.0
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=60)

Files = Sequence[tuple[str, bytes]]


@dataclass
class Outcome:
    """One task: the seconds of the upload and of all of it, and the results of its status."""

    submit_seconds: float
    task_seconds: float
    results: list[dict[str, Any]] = field(default_factory=list)


class Client:
    """A client of the documented API, and of the stream."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=REQUEST_TIMEOUT)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.close()

    @property
    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("the client is not open")
        return self._session

    async def submit(self, files: Files) -> tuple[str, float]:
        """Upload a task; return its id and the seconds until the response."""
        form = aiohttp.FormData()
        for name, data in files:
            form.add_field("files", data, filename=name, content_type="image/jpeg")
        started = time.perf_counter()
        async with self._http.post(f"{self._url}/api/v1/process-task/", data=form) as response:
            body = await response.json()
            if response.status not in {200, 202}:
                raise BenchError(f"a task was refused with {response.status}: {body}")
        return str(body["task_id"]), time.perf_counter() - started

    async def run(self, files: Files) -> Outcome:
        """Upload a task and wait for its end."""
        started = time.perf_counter()
        task_id, submit_seconds = await self.submit(files)
        state = await self.wait(task_id)
        results = state["results"]
        if len(results) != len(files):
            raise BenchError(f"{len(results)} of {len(files)} images were processed: {state}")
        return Outcome(submit_seconds, time.perf_counter() - started, results)

    async def wait(self, task_id: str) -> dict[str, Any]:
        """Poll until the task has ended; return its state."""
        async with asyncio.timeout(TASK_TIMEOUT_SECONDS):
            while True:
                url = f"{self._url}/api/v1/task-status/{task_id}"
                async with self._http.get(url) as response:
                    if response.status == 200:
                        state: dict[str, Any] = await response.json()
                        if state["status"] in {"completed", "failed"}:
                            return state
                await asyncio.sleep(POLL_SECONDS)

    async def run_watched(self, files: Files) -> Outcome:
        """Upload a task and listen for its end: no time is lost between two polls."""
        started = time.perf_counter()
        task_id, submit_seconds = await self.submit(files)
        url = f"{self._url}/api/v1/task-events/{task_id}"
        async with asyncio.timeout(TASK_TIMEOUT_SECONDS), self._http.get(url) as events:
            await events.read()  # the stream of events ends with the task
        return Outcome(submit_seconds, time.perf_counter() - started)

    async def fetch(self, url: str) -> bytes:
        """Return a result's file."""
        async with self._http.get(self._url + url) as response:
            return await response.read()

    async def metrics(self, url: str) -> dict[str, float]:
        """Return counters, sums and counts of a role's metrics by name and labels."""
        async with self._http.get(url) as response:
            text = await response.text()
        values = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
                values[f"{sample.name}{{{labels}}}"] = sample.value
        return values


async def publish(redis: Redis, stream: str, files: Files) -> str:
    """Put a task straight onto the stream; return its id."""
    task_id = uuid.uuid4().hex
    async with redis.pipeline(transaction=False) as pipe:
        for index, (name, data) in enumerate(files):
            entry: dict[Any, Any] = {
                "v": 1, "task_id": task_id, "index": index, "total": len(files),
                "filename": name, "image": data,
            }  # fmt: skip
            pipe.xadd(stream, entry)
        await pipe.execute()
    return task_id
