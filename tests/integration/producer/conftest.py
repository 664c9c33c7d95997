"""A producer on a real socket, a real server and a real folder."""

import asyncio
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from redis.asyncio import Redis

from producer.app import create_runner, listen
from producer.settings import ProducerSettings
from schemas.contract.messages import ContractLimits, ImageMessage
from schemas.contract.names import result_url
from schemas.contract.tasks import ImageResult
from schemas.redis.keys import Keys
from schemas.redis.task_store import TaskStore
from schemas.storage.storage import Storage

JPEG = b"\xff\xd8\xff\xe0" + b"j" * 2000
PNG = b"\x89PNG\r\n\x1a\n" + b"p" * 2000
WEBP = b"RIFF\x00\x01\x00\x00WEBPVP8 " + b"w" * 2000

_LIMITS = ContractLimits(max_total=1000, inline_max_bytes=0)

UPLOAD = "/api/v1/process-task/"


@dataclass
class RunningProducer:
    """One producer, and what a test needs to watch it from outside."""

    host: str
    port: int
    session: aiohttp.ClientSession
    folder: Path
    redis: Redis
    store: TaskStore
    storage: Storage
    keys: Keys

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def upload(self, *files: tuple[str, bytes], **options: Any) -> tuple[int, Any]:
        """POST files; return status and JSON body."""
        form = aiohttp.FormData(quote_fields=False)
        for name, content in files:
            form.add_field("files", io.BytesIO(content), filename=name, content_type="text/plain")
        return await self.call("POST", UPLOAD, data=form, **options)

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.session.request(method, self.url + path, **options) as response:
            return response.status, await response.json(content_type=None)

    async def raw(self, request: bytes) -> bytes:
        """Send bytes as they are; return all that is received until the server closes."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(request)
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()

    async def messages(self) -> list[tuple[str, ImageMessage]]:
        """Return the entries of the work stream."""
        return [
            (entry.decode(), ImageMessage.from_fields(fields, _LIMITS))
            for entry, fields in await self.redis.xrange(self.keys.images)
        ]

    async def finish_next(self, content: bytes = b"covered") -> ImageMessage:
        """Do what a worker does for the oldest entry."""
        entry, message = (await self.messages())[0]
        await self.store.begin(entry, message)
        name = message.output_name
        await self.storage.put(f"{message.task_id}/output/{name}", content)
        result = ImageResult(filename=name, url=result_url(message.task_id, name))
        await self.store.finish(entry, message, result, {})
        return message

    def files(self) -> list[str]:
        """Return everything below the storage folder, also partial files and empty folders."""
        return sorted(str(p.relative_to(self.folder)) for p in self.folder.rglob("*"))

    async def metric(self, name: str) -> float:
        """Return the value of one line of /metrics, named with its labels; 0 if there is none."""
        async with self.session.get(self.url + "/metrics") as response:
            lines = (await response.text()).splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)


StartProducer = Callable[..., Awaitable[RunningProducer]]


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    """Wait until the condition holds; raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not await condition():
            await asyncio.sleep(0.02)


@pytest.fixture
async def start_producer(tmp_path: Path) -> AsyncIterator[StartProducer]:
    """Start producers with the settings that a test gives."""
    runners: list[web.AppRunner] = []
    opened: list[Any] = []

    async def start(redis_url: str, **settings: Any) -> RunningProducer:
        folder = tmp_path / f"storage{len(runners)}"
        values = {"redis_url": redis_url, "tasks_storage_url": folder.as_uri()} | settings
        checked = ProducerSettings(_env_file=None, **values)
        runner = create_runner(checked)
        await runner.setup()
        runners.append(runner)
        await listen(runner, [socket.create_server(("127.0.0.1", 0))], checked)
        host, port = runner.addresses[0]
        redis, session = Redis.from_url(redis_url), aiohttp.ClientSession()
        opened.extend((session.close, redis.aclose))
        keys = Keys(checked.key_prefix)
        return RunningProducer(
            host=host,
            port=port,
            session=session,
            folder=folder,
            redis=redis,
            store=TaskStore(redis, keys, task_ttl_ms=checked.task_ttl_ms),
            storage=Storage.open(checked.storage_url),
            keys=keys,
        )

    yield start
    for close in opened:
        await close()
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def producer(start_producer: StartProducer, redis_server: str) -> RunningProducer:
    """A producer with the default limits."""
    return await start_producer(redis_server)
