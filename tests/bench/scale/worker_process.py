"""A process with several workers on one event loop, each as real as one with its own.

Run as `python -m tests.bench.scale.worker_process NUMBER`; SIGTERM stops it.
"""

import asyncio
import signal
import sys

from prometheus_client import CollectorRegistry

from consumer.health import Health, guarded
from consumer.metrics import WorkerMetrics
from consumer.settings import WorkerSettings
from consumer.vision.networks import Networks
from consumer.worker.process import run_worker
from schemas import process
from schemas.logs import configure_logging
from tests.support.stand_in import chosen_stand_in


async def _one_worker(settings: WorkerSettings, stop: asyncio.Event) -> None:
    health = Health()
    async with guarded(health):
        detector = chosen_stand_in(settings.model_path)
        networks = None if detector is None else Networks(detector)
        await run_worker(settings, WorkerMetrics(CollectorRegistry()), health, stop, networks)


async def _run(settings: WorkerSettings, workers: int) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    # A worker that fails ends the process, which its status reports.
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(_one_worker(settings, stop))


def main() -> int:
    """Run the workers; 0 if they ran without torch, whose cost is not to be measured."""
    settings = WorkerSettings.load()
    configure_logging("worker", level=settings.log_level, log_format=settings.log_format)
    process.run(_run(settings, int(sys.argv[1])))
    return int("torch" in sys.modules)


if __name__ == "__main__":
    sys.exit(main())
