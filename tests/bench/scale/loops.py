"""A process with several workers on one event loop, as real as one: `run_worker`, as often as told.

Run as `python -m tests.bench.scale.loops`. It reads `start <number>` and `stop` from standard input
and answers each with one line of JSON; at the end of the input it ends.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator

from prometheus_client import CollectorRegistry

from consumer.health import Health, guarded
from consumer.metrics import WorkerMetrics
from consumer.settings import WorkerSettings
from consumer.worker.process import run_worker
from schemas import process
from schemas.logs import configure_logging


async def _one_worker(settings: WorkerSettings, stop: asyncio.Event) -> None:
    health = Health()
    async with guarded(health):
        await run_worker(settings, WorkerMetrics(CollectorRegistry()), health, stop)


async def _commands() -> AsyncIterator[list[str]]:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while line := await reader.readline():
            yield line.decode().split()
    finally:
        transport.close()


async def _obey(settings: WorkerSettings) -> None:
    stop = asyncio.Event()
    # A worker that fails ends the process, which the other end of the pipe sees.
    async with asyncio.TaskGroup() as group:
        running: list[asyncio.Task[None]] = []
        async for command, *rest in _commands():
            if command == "start":
                stop = asyncio.Event()
                running += [
                    group.create_task(_one_worker(settings, stop)) for _ in range(int(rest[0]))
                ]
            else:
                stop.set()
                await asyncio.gather(*running)
                running.clear()
            print(json.dumps({"torch": "torch" in sys.modules}), flush=True)
        stop.set()


def main() -> None:
    """Obey until the input ends."""
    settings = WorkerSettings.load()
    configure_logging("worker", level=settings.log_level, log_format=settings.log_format)
    process.run(_obey(settings))


if __name__ == "__main__":
    main()
