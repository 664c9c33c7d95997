"""How fast one producer process takes tasks over HTTP, and what each image costs it."""

import asyncio
import secrets
import time
from dataclasses import dataclass

import aiohttp
import psutil

from tests.bench.scale.fill import picture
from tests.bench.scale.server import MeasuredServer
from tests.support.service import Service

CONNECTIONS = 8
FILES = (1, 10)
REQUEST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SubmitRate:
    """Figures of one kind of request. CPU in seconds and network of Redis in bytes: per image."""

    files_per_request: int
    requests_per_second: float
    images_per_second: float
    p50_ms: float
    p99_ms: float
    producer_cpu: float
    redis_cpu: float
    redis_bytes: float


def measure(server: MeasuredServer, seconds: float) -> list[SubmitRate]:
    """Send small files through some connections for so long, with one file each, then with ten."""
    server.meter.redis.flushall()
    service = Service(
        server.redis_url, server.folder,
        TASKS_STORAGE_URL=server.storage.as_uri(), MAX_BACKLOG_IMAGES="1000000",
        LOG_LEVEL="warning",
    )  # fmt: skip
    try:
        service.start("producer")
        process = psutil.Process(service.roles["producer"].pid)
        return [_rate(server, service.url, process, files, seconds) for files in FILES]
    finally:
        service.stop()


def _rate(
    server: MeasuredServer, url: str, process: psutil.Process, files: int, seconds: float
) -> SubmitRate:
    body, kind = _form(files)
    asyncio.run(_send(url, body, kind, 0.5))
    before, busy = server.meter.snapshot(), _cpu_seconds(process)
    started = time.monotonic()
    took = sorted(asyncio.run(_send(url, body, kind, seconds)))
    elapsed = time.monotonic() - started
    work, busy = server.meter.since(before), _cpu_seconds(process) - busy
    images = len(took) * files
    return SubmitRate(
        files_per_request=files,
        requests_per_second=len(took) / elapsed,
        images_per_second=images / elapsed,
        p50_ms=took[len(took) // 2] * 1000,
        p99_ms=took[len(took) * 99 // 100] * 1000,
        producer_cpu=busy / images,
        redis_cpu=work.cpu_seconds / images,
        redis_bytes=(work.bytes_in + work.bytes_out) / images,
    )


async def _send(url: str, body: bytes, kind: str, seconds: float) -> list[float]:
    """Seconds that each request took."""
    took: list[float] = []
    deadline = time.monotonic() + seconds
    target = f"{url}/api/v1/process-task/"
    headers = {"Content-Type": kind}
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)

    async def client(session: aiohttp.ClientSession) -> None:
        while (started := time.monotonic()) < deadline:
            async with session.post(target, data=body, headers=headers) as response:
                assert response.status == 202, await response.text()
                await response.read()
            took.append(time.monotonic() - started)

    connector = aiohttp.TCPConnector(limit=CONNECTIONS)
    async with (
        aiohttp.ClientSession(timeout=timeout, connector=connector) as session,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(CONNECTIONS):
            group.create_task(client(session))
    return took


def _form(files: int) -> tuple[bytes, str]:
    """A multipart body, made once: the client is to cost as little as it can."""
    boundary, data = secrets.token_hex(16), picture()
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="files"; filename="%d.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n%b\r\n" % (boundary.encode(), index, data)
        for index in range(files)
    ]
    end = b"--%b--\r\n" % boundary.encode()
    return b"".join(parts) + end, f"multipart/form-data; boundary={boundary}"


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
