"""The worker processes of a measurement: at most eight, with any number of workers in them."""

import asyncio
import os
import sys
from pathlib import Path

import psutil

from cli.launcher import ManagedProcess
from consumer.host import usable_cpus
from tests.support.service import END_TIMEOUT_SECONDS, ROOT, on_launcher_loop

MAX_PROCESSES = 8
IMAGE_SECONDS = 0.2
SIDE = 64


class WorkerProcesses:
    """Starts and stops workers, spread evenly over few processes."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self._environment = {**os.environ, **_settings(), **environment}
        self._folder = folder
        self._log = folder / "workers.log"
        self._processes: list[ManagedProcess] = []

    def start(self, workers: int) -> None:
        """Start so many workers; does not wait until they have joined."""
        count = min(MAX_PROCESSES, workers)
        for number in range(count):
            share = workers // count + (number < workers % count)
            process = ManagedProcess(
                f"workers-{number}",
                [sys.executable, "-m", "tests.bench.scale.worker_process", str(share)],
                environment=self._environment, folder=self._folder, log=self._log,
            )  # fmt: skip
            on_launcher_loop(process.start())
            self._processes.append(process)

    def stop(self) -> None:
        """Stop all workers after they have finished what they hold."""
        on_launcher_loop(self._stop())
        statuses = [process.status for process in self._processes]
        self._processes.clear()
        assert set(statuses) == {0}, f"{statuses}\n{self._log.read_text()[-3000:]}"

    async def _stop(self) -> None:
        stops = (process.stop(END_TIMEOUT_SECONDS / 2) for process in self._processes)
        await asyncio.gather(*stops)

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of all processes so far."""
        times = [psutil.Process(process.pid).cpu_times() for process in self._processes]
        return float(sum(time.user + time.system for time in times))


def fast_detector() -> dict[str, str]:
    """Return settings of a worker whose detector takes no time; it holds as much as on a GPU."""
    threads = usable_cpus()
    return {
        "MODEL_PATH": "stand-in:0",
        "PROCESSING_THREADS": str(threads),
        "MAX_IMAGES_IN_HAND": str(2 * threads + 3 * 16),
    }


def _settings() -> dict[str, str]:
    return {
        "PYTHONPATH": str(ROOT),
        "MODEL_PATH": f"stand-in:{IMAGE_SECONDS * 1000:.0f}",
        "DETECT_IMGSZ": str(SIDE),
        "PROCESSING_THREADS": "1",
        # As wide as the machine: so there is one forward pass at a time, as on a GPU.
        "INFERENCE_THREADS": str(usable_cpus()),
        "METRICS_PORT": "0",
        "LOG_LEVEL": "warning",
        "LOG_FORMAT": "json",
    }
