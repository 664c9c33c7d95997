"""All roles in this process, on a real server and real files, with their spans in memory."""

import asyncio
import json
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from consumer.dispatcher.process import run_dispatcher
from consumer.health import Health
from consumer.metrics import DispatcherMetrics, WorkerMetrics
from consumer.settings import DispatcherSettings, WorkerSettings
from consumer.vision.networks import Networks
from consumer.worker.process import run_worker
from producer.app import create_runner, listen
from producer.settings import ProducerSettings
from schemas import tracing
from schemas.otel import OtelRecorder
from tests.support.pictures import encoded
from tests.support.stand_in import StandInDetector

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
CALLER = f"00-{TRACE}-00f067aa0ba902b7-01"


@dataclass
class Recorded:
    """The spans that have ended."""

    exporter: InMemorySpanExporter

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        [span] = self.named(name)
        return span

    def children(self, parent: ReadableSpan) -> dict[str, list[ReadableSpan]]:
        """The children of a span, by their names."""
        found: dict[str, list[ReadableSpan]] = defaultdict(list)
        for span in self.spans:
            if span.parent is not None and span.parent.span_id == context(parent).span_id:
                found[span.name].append(span)
        return found

    @property
    def traces(self) -> set[str]:
        return {f"{context(span).trace_id:032x}" for span in self.spans}

    @property
    def text(self) -> str:
        """Everything that an exporter sends of them."""
        return "\n".join(json.dumps(json.loads(span.to_json()), ensure_ascii=False)
                         for span in self.spans)  # fmt: skip

    async def until(self, name: str, count: int = 1) -> None:
        """Wait for spans: a webhook arrives before its attempt has ended."""
        async with asyncio.timeout(20):
            while len(self.named(name)) < count:
                await asyncio.sleep(0.01)


def photo(number: int = 0) -> bytes:
    return encoded(np.full((96, 128, 3), 40 * number, np.uint8))


def context(span: ReadableSpan) -> SpanContext:
    assert span.context is not None
    return span.context


def traceparent(span: ReadableSpan) -> str:
    """The header that names a span as the parent."""
    return f"00-{context(span).trace_id:032x}-{context(span).span_id:016x}-01"


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    """Spans are recorded in memory."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(OtelRecorder(provider))
    yield Recorded(exporter)
    tracing.use(None)


@dataclass
class Whole:
    """A producer, a worker, a dispatcher, and the backend that gets the callbacks."""

    url: str
    redis: Redis
    session: aiohttp.ClientSession
    callbacks: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue)
    """The `traceparent` of each."""
    statuses: list[int] = field(default_factory=list)
    """With which the backend responds, the first one first; then with 200."""

    async def receive(self, request: web.Request) -> web.Response:
        await request.read()
        self.callbacks.put_nowait(request.headers.get("traceparent"))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)

    async def submit(self, *names: str, **headers: str) -> str:
        """POST images with these names; return the task's id."""
        form = aiohttp.FormData()
        for number, name in enumerate(names):
            form.add_field("files", photo(number), filename=name, content_type="image/jpeg")
        path = f"{self.url}/api/v1/process-task/"
        async with self.session.post(path, data=form, headers=headers) as response:
            assert response.status == 202
            return str((await response.json())["task_id"])

    async def callback(self) -> str | None:
        """The `traceparent` of the next callback."""
        async with asyncio.timeout(20):
            return await self.callbacks.get()


@pytest.fixture
async def whole(redis_server: str, tmp_path: Path) -> AsyncIterator[Whole]:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis.from_url(redis_server))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        whole = Whole("", redis, session)
        backend = await stack.enter_async_context(_backend(whole))
        shared = {
            "redis_url": redis_server, "tasks_storage_url": tmp_path.as_uri(), "_env_file": None,
        }  # fmt: skip
        consumer = {**shared, "metrics_port": 0, "lease_seconds": 1, "drain_seconds": 5}
        whole.url = await stack.enter_async_context(_producer(ProducerSettings(**shared)))
        worker, dispatcher = WorkerSettings(**consumer), DispatcherSettings(
            **consumer, backend_callback_url=backend, webhook_retry_seconds="0.05"
        )  # fmt: skip
        stop, registry = asyncio.Event(), CollectorRegistry()
        roles = [
            run_worker(
                worker, WorkerMetrics(CollectorRegistry()), Health(), stop,
                Networks(StandInDetector()),
            ),
            run_dispatcher(dispatcher, DispatcherMetrics(registry), Health(), stop),
        ]  # fmt: skip
        tasks = [asyncio.create_task(role) for role in roles]
        try:
            yield whole
        finally:
            stop.set()
            async with asyncio.timeout(20):
                await asyncio.gather(*tasks)


@asynccontextmanager
async def _producer(settings: ProducerSettings) -> AsyncIterator[str]:
    runner = create_runner(settings)
    await runner.setup()
    await listen(runner, [socket.create_server(("127.0.0.1", 0))], settings)
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _backend(whole: Whole) -> AsyncIterator[str]:
    """Receive callbacks, at an address that holds secrets."""
    app = web.Application()
    app.add_routes([web.post("/{path:.*}", whole.receive)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://me:pass-word@127.0.0.1:{runner.addresses[0][1]}/secret-path?key=secret-key"
    finally:
        await runner.cleanup()
